/**
 * Norm bounding. Sun, Kairouz, Suresh, McMahan: "Can You Really Backdoor Federated Learning?", 2019.
 *
 *     new = w + mean_i [ D_i min(1, C / |D_i|) ]
 *
 * C is an option, or the median norm of the round before; in the first round of a run, which has
 * none before it, the median of that round itself. `norm-bound-median` takes the round's own median
 * always, but must then have all updates before it can fold any.
 *
 * Use it against updates that win by their size: boosted backdoors, model replacement, clients with
 * a learning rate that is far off. It breaks against attackers that stay small (label flips, ALIE),
 * and slows down honest clients that have most to teach. Without C it breaks where half of a round
 * are attackers, for they choose the next bound. With `weights: examples` a client's claim counts,
 * which the bound does not hold. Say `attackers`, and rounds with n < 2f + 1 are refused.
 */
import { z } from 'zod';
import { boundDiagnostics, clip } from './clipping.js';
import type { WeighContext } from './families/linear.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';
import { typicalOf, withTypical } from './linear/typical.js';
import { attackersIfSaid, cohortOf, fewestFor } from './robust/attackers.js';
import { robustWeight, robustWeights } from './robust-weights.js';
import type { UpdateFacts } from './rule.js';
import { emptyState } from './rule.js';
import { medianOf } from './statistics.js';

const options = z.strictObject({
  C: z
    .number()
    .positive()
    .optional()
    .describe('Greatest norm of an update; by default the median norm of the round before.'),
  attackers: attackersIfSaid(0.5),
  weights: robustWeights,
});
type Options = z.infer<typeof options>;

function boundOf({ options: { C }, state }: WeighContext<Options>): number {
  return C ?? typicalOf(state);
}

function medianNorm(facts: readonly UpdateFacts[]): number {
  return medianOf(facts.map(({ norm }) => norm));
}

export const normBound = linearRule({
  name: 'norm-bound',
  summary: 'The mean of the updates, none longer than a bound that was known before.',
  paper: 'Sun et al., 2019, "Can You Really Backdoor Federated Learning?"',
  options,
  minUpdates: (o) => fewestFor(cohortOf({ perAttacker: 2, plus: 1 }), o),
  weightMax: ({ weights }) => (weights === 'examples' ? EXAMPLES_MAX : 1),
  weigh(facts, ctx) {
    const whole = robustWeight(facts, ctx.options);
    return { weight: whole * clip(facts.norm, boundOf(ctx)), scalars: { whole } };
  },
  scale: ({ scalars: { whole } }) => 1 / whole,
  first: (facts) => withTypical(emptyState, medianNorm(facts)),
  advance: (state, facts) => withTypical(state, medianNorm(facts), 0),
  diagnose: (facts, _, ctx) => boundDiagnostics(facts, boundOf(ctx)),
});
