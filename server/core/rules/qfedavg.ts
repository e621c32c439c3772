/**
 * q-FedAvg. Li, Sanjabi, Beirami, Smith: "Fair Resource Allocation in Federated Learning", ICLR 2020.
 *
 *     new = w + sum_i F_i^q L D_i / sum_i h_i,   h_i = q F_i^(q-1) |L D_i|^2 + L F_i^q
 *
 * F_i is the loss of the received model on the client's data (`lossBefore`), L one over the local
 * learning rate: over the option's, or else over the mean of those that the clients report, which is
 * the same where all have one rate. q 0 would be the plain mean; more of it makes the clients'
 * losses more alike. In the fold, losses are measured against the greatest in the first round and
 * then against the median of the round before, which cancels; F_i is taken as 1e-10 at least, and
 * after the first round as 16 of those medians at most, which bounds the weights (`clipped`).
 *
 * Use it where no client may be left behind, and the mean accuracy may pay for it. It breaks where a
 * client's loss is high because its labels are noise: it then counts most. The step shrinks as q
 * grows, so that q 5 wants more rounds; and a client may claim any loss, in the first round without
 * a bound.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import type { LinearSums } from './families/linear.js';
import { linearRule } from './families/linear.js';
import { lossDiagnostics } from './linear/tilt.js';
import { typicalOf, withTypical } from './linear/typical.js';
import { LOSS_BEFORE, metricAbove } from './metrics.js';
import type { RuleState, UpdateFacts } from './rule.js';
import { emptyState } from './rule.js';
import { medianOf } from './statistics.js';

/** The greatest loss that counts, in typical losses. */
const RATIO_MAX = 16;
/** As in the authors' code: F^(q-1) has no value at 0. */
const LEAST_LOSS = 1e-10;
const LEAST_RATE = 1e-12;

const options = z.strictObject({
  q: z.number().min(0.1).max(5).default(1).describe('How much fairness: the power of the losses.'),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe('The local learning rate; by default the mean of what clients report.'),
});
type Options = z.infer<typeof options>;

function claimed(facts: UpdateFacts): number {
  return Math.max(metricAbove(0, facts, LOSS_BEFORE), LEAST_LOSS);
}

/** F_i, as far as it counts. */
function lossOf(facts: UpdateFacts, state: RuleState): number {
  return Math.min(claimed(facts), RATIO_MAX * typicalOf(state));
}

/** L: one over the mean local learning rate. */
function smoothness({ count, scalars }: LinearSums, { learningRate }: Options): number {
  return learningRate === undefined ? count / scalars.rates : 1 / learningRate;
}

export const qfedavg = linearRule({
  name: 'qfedavg',
  summary: 'Counts clients by a power of their loss, so that losses become more alike.',
  paper: 'Li et al., ICLR 2020, "Fair Resource Allocation in Federated Learning"',
  options,
  needs: { metrics: [LOSS_BEFORE, 'learningRate'] },
  needed: ({ learningRate }) => ({
    metrics: learningRate === undefined ? [LOSS_BEFORE, 'learningRate'] : [LOSS_BEFORE],
  }),
  weightMax: ({ q }) => pow(RATIO_MAX, q),
  weigh(facts, { options: { q, learningRate }, state }) {
    const loss = lossOf(facts, state);
    const weight = Math.min(pow(loss / typicalOf(state), q), pow(RATIO_MAX, q));
    const squares = (q * weight * facts.norm * facts.norm) / loss;
    const rates = learningRate ?? metricAbove(LEAST_RATE, facts, 'learningRate');
    return { weight, scalars: { weights: weight, squares, rates } };
  },
  // L F^q / (q F^(q-1) L^2 |D|^2 + L F^q), both sides divided by L.
  scale(sums, { options: o }) {
    const divisor = smoothness(sums, o) * sums.scalars.squares + sums.scalars.weights;
    return divisor === 0 ? 0 : 1 / divisor;
  },
  first: (facts) => withTypical(emptyState, Math.max(...facts.map(claimed))),
  advance: (state, facts) => withTypical(state, medianOf(facts.map(claimed)), LEAST_LOSS),
  diagnose: (facts, sums, ctx) => ({
    ...lossDiagnostics(facts),
    lipschitz: smoothness(sums, ctx.options),
    clipped: facts.filter((one) => lossOf(one, ctx.state) < claimed(one)).length,
  }),
});
