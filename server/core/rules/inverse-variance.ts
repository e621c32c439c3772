/**
 * Inverse-variance weighting: the minimum-variance combination of unbiased estimates. Cochran:
 * "Problems Arising in the Analysis of a Series of Similar Experiments", JRSS Supplement 1937.
 *
 *     new = w + sum_i p_i D_i,   p_i = (1 / var_i) / sum (1 / var)
 *
 * var_i is a metric that the client reports: the variance of its update, of its gradients, or of its
 * measurements, as long as all sites mean the same. The weight in the fold is v / var_i: v cancels in
 * p_i. In the first round v is the least variance of that round; later it is the median of the round
 * before and the weight is held at 65536, so that a client which claims less than a 65536th of what
 * is typical counts as if it had claimed that.
 *
 * Use it where sites measure with different precision and can say how well. It breaks where the
 * updates are biased and not only noisy (label skew): a site that is surely wrong counts most. And a
 * client that lies has the model: var_i is its own claim, which nothing bounds in the first round.
 */
import { z } from 'zod';
import { metricName } from '../../../protocol/metrics.js';
import { linearRule } from './families/linear.js';
import { typicalOf, withTypical } from './linear/typical.js';
import { metricAbove } from './metrics.js';
import type { UpdateFacts } from './rule.js';
import { emptyState } from './rule.js';
import { medianOf } from './statistics.js';

const WEIGHT_MAX = 65_536;
/** A variance of zero would weigh infinitely much. */
const LEAST_VARIANCE = 1e-300;

interface Options {
  readonly metric: string;
}

function varianceOf(facts: UpdateFacts, { metric }: Options): number {
  return metricAbove(LEAST_VARIANCE, facts, metric);
}

function variancesOf(facts: readonly UpdateFacts[], options: Options): number[] {
  return facts.map((one) => varianceOf(one, options));
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
  }),
  needs: { metrics: ['variance'] },
  needed: ({ metric }) => ({ metrics: [metric] }),
  weightMax: () => WEIGHT_MAX,
  weigh: (facts, { options, state }) =>
    Math.min(typicalOf(state) / varianceOf(facts, options), WEIGHT_MAX),
  first: (facts, options) => withTypical(emptyState, Math.min(...variancesOf(facts, options))),
  advance: (state, facts, _, { options }) =>
    withTypical(state, medianOf(variancesOf(facts, options)), LEAST_VARIANCE),
  diagnose(facts, _, { options, state }) {
    const least = typicalOf(state) / WEIGHT_MAX;
    const variances = variancesOf(facts, options);
    return {
      leastVariance: Math.min(...variances),
      greatestVariance: Math.max(...variances),
      clipped: variances.filter((variance) => variance < least).length,
    };
  },
});
