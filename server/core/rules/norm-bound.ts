/**
 * Norm bounding. Sun, Kairouz, Suresh, McMahan: "Can You Really Backdoor Federated Learning?", 2019.
 *
 *     new = w + mean_i [ D_i min(1, C / |D_i|) ]
 *
 * C is an option, or the median norm of the round before. Without C nothing is known in the first
 * round of a run: any bound would be a guess, and none would let one update replace the model. So
 * that round only measures, and leaves the model as it is. `norm-bound-median` takes the median of
 * the same round and needs no such round, but must have all updates before it can fold any.
 *
 * Use it against updates that win by their size: boosted backdoors, model replacement, clients with
 * a learning rate that is far off. It breaks against attackers that stay small (label flips, ALIE),
 * and slows down honest clients that have most to teach. With `weights: examples` a client's claim
 * counts, which the bound does not hold.
 */
import { z } from 'zod';
import type { WeighContext } from './families/linear.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';
import { boundDiagnostics, kept } from './linear/norms.js';
import { typicalOf, withTypical } from './linear/typical.js';
import { robustWeight, robustWeights } from './robust-weights.js';

const options = z.strictObject({
  C: z
    .number()
    .positive()
    .optional()
    .describe('Greatest norm of an update; by default the median norm of the round before.'),
  weights: robustWeights,
});
type Options = z.infer<typeof options>;

/** 0 in a first round that only measures. */
function boundOf({ options: { C }, state }: WeighContext<Options>): number {
  return C ?? typicalOf(state, 0);
}

export const normBound = linearRule({
  name: 'norm-bound',
  summary: 'The mean of the updates, none longer than a bound that was known before.',
  paper: 'Sun et al., 2019, "Can You Really Backdoor Federated Learning?"',
  options,
  weightMax: ({ weights }) => (weights === 'examples' ? EXAMPLES_MAX : 1),
  weigh(facts, ctx) {
    const whole = robustWeight(facts, ctx.options);
    return { weight: whole * kept(facts, boundOf(ctx)), scalars: { whole } };
  },
  scale: ({ scalars: { whole } }) => 1 / whole,
  advance: (state, facts) =>
    withTypical(
      state,
      facts.map(({ norm }) => norm),
    ),
  diagnose: (facts, _, ctx) => boundDiagnostics(facts, boundOf(ctx)),
});
