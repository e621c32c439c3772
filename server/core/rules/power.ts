/**
 * Powers of the number of examples.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i^kappa / sum n^kappa
 *
 * kappa 0 is the plain mean, 1 is FedAvg (McMahan et al., AISTATS 2017); what stands between counts
 * large clients more, but not as much as they are larger. Above 1 the weight in the fold is
 * (n_i / n)^kappa, n the greatest count of the first round and then the median of the round before:
 * n cancels in p_i, and after the first round n_i / n is held at 256 (`clipped`).
 *
 * Use it where sites differ in size by orders of magnitude: with FedAvg the largest is the model,
 * with the plain mean the noise of the smallest is. It breaks where FedAvg does, and sooner with a
 * kappa above 1: counts are the clients' own claims.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';
import { typicalOf, withTypical } from './linear/typical.js';
import type { UpdateFacts } from './rule.js';
import { emptyState } from './rule.js';
import { medianOf } from './statistics.js';

/**
 * The greatest count that is told apart, in typical counts, for kappa above 1: with room for the
 * square of any count, the fold would have no digits left for small clients.
 */
const RATIO_MAX = 256;

function counts(facts: readonly UpdateFacts[]): number[] {
  return facts.map(({ numExamples }) => numExamples);
}

export const power = linearRule({
  name: 'power',
  summary: 'The mean, each update counted by a power of its examples.',
  paper:
    'McMahan et al., AISTATS 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", with powers of the counts',
  options: z.strictObject({
    kappa: z
      .number()
      .min(0)
      .max(2)
      .default(0.5)
      .describe('Power of the number of examples: 0 is uniform, 1 is fedavg.'),
  }),
  weightMax: ({ kappa }) => pow(kappa > 1 ? RATIO_MAX : EXAMPLES_MAX, kappa),
  weigh({ numExamples }, { options: { kappa }, state }) {
    if (kappa <= 1) return pow(numExamples, kappa);
    return pow(Math.min(numExamples / typicalOf(state), RATIO_MAX), kappa);
  },
  first: (facts) => withTypical(emptyState, Math.max(...counts(facts))),
  advance: (state, facts) => withTypical(state, medianOf(counts(facts))),
  diagnose(facts, _, { options: { kappa }, state }) {
    const most = kappa > 1 ? RATIO_MAX * typicalOf(state) : Infinity;
    return { clipped: counts(facts).filter((count) => count > most).length };
  },
});
