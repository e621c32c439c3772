/**
 * Inverse-variance weighting: the minimum-variance combination of unbiased estimates. Cochran:
 * "Problems Arising in the Analysis of a Series of Similar Experiments", JRSS Supplement 1937.
 *
 *     new = w + sum_i p_i D_i,   p_i = (1 / var_i) / sum (1 / var)
 *
 * var_i is a metric that the client reports: the variance of its update, of its gradients, or of its
 * measurements, as long as all sites mean the same. The weight in the fold is v / var_i, v the
 * median of the round before (`firstVariance` in the first), held at 65536: a client that claims less than a
 * 65536th of what is typical counts as if it had claimed that. v cancels in p_i.
 *
 * Use it where sites measure with different precision and can say how well. It breaks where the
 * updates are biased and not only noisy (label skew): a site that is surely wrong counts most. And a
 * client that lies has the model: var_i is its own claim.
 */
import { z } from 'zod';
import { metricName } from '../../../protocol/update.js';
import { linearRule } from './families/linear.js';
import { typicalOf, withTypical } from './linear/typical.js';
import { metricAbove } from './metrics.js';
import type { UpdateFacts } from './rule.js';

const WEIGHT_MAX = 65_536;
/** A variance of zero would weigh infinitely much. */
const LEAST_VARIANCE = 1e-300;

function varianceOf(facts: UpdateFacts, { metric }: { readonly metric: string }): number {
  return metricAbove(LEAST_VARIANCE, facts, metric);
}

export const inverseVariance = linearRule({
  name: 'inverse-variance',
  summary: 'The mean, each update counted by one over the variance that it reports.',
  paper:
    'Cochran, JRSS Supplement 1937, "Problems Arising in the Analysis of a Series of Similar Experiments"',
  options: z.strictObject({
    metric: metricName
      .default('variance')
      .describe('The metric of the update that holds its variance.'),
    firstVariance: z
      .number()
      .positive()
      .default(1)
      .describe('A typical variance in the first round, before one is known.'),
  }),
  needs: { metrics: ['variance'] },
  needed: ({ metric }) => ({ metrics: [metric] }),
  weightMax: () => WEIGHT_MAX,
  weigh: (facts, { options, state }) =>
    Math.min(typicalOf(state, options.firstVariance) / varianceOf(facts, options), WEIGHT_MAX),
  advance: (state, facts, _, { options }) =>
    withTypical(
      state,
      facts.map((one) => varianceOf(one, options)),
    ),
  diagnose(facts, _, { options, state }) {
    const least = typicalOf(state, options.firstVariance) / WEIGHT_MAX;
    const variances = facts.map((one) => varianceOf(one, options));
    return {
      leastVariance: Math.min(...variances),
      greatestVariance: Math.max(...variances),
      clipped: variances.filter((variance) => variance < least).length,
    };
  },
});
