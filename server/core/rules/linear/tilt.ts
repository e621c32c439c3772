/** Weights n_i exp(x_i), for TERM and KL-DRO: only their ratios matter. */
import { exp } from '../../math.js';
import { EXAMPLES_MAX } from '../fedavg.js';
import { lossBefore } from '../metrics.js';
import type { RuleState, UpdateFacts } from '../rule.js';
import { emptyState } from '../rule.js';
import { medianOf } from '../statistics.js';
import { typicalOf, withTypical } from './typical.js';

/** How much more than its examples an update may count: the room that the exact fold keeps for it. */
const TILT_MAX = 256;

/** Greatest weight that {@link tilted} gives. */
export const TILTED_MAX = EXAMPLES_MAX * TILT_MAX;

/**
 * n_i exp(perLoss * (F_i - F)), F the loss that the state knows, the exponential held at
 * {@link TILT_MAX}.
 */
export function tilted(facts: UpdateFacts, state: RuleState, perLoss: number): number {
  return facts.numExamples * Math.min(tiltOf(facts, state, perLoss), TILT_MAX);
}

function tiltOf(facts: UpdateFacts, state: RuleState, perLoss: number): number {
  // Without a tilt nothing is measured: 0 times a difference that overflowed would be NaN.
  return perLoss === 0 ? 1 : exp(perLoss * (lossBefore(facts) - typicalOf(state)));
}

/** For a first round: F is the loss that is tilted most. */
export function firstTilt(facts: readonly UpdateFacts[], perLoss: number): RuleState {
  const losses = facts.map(lossBefore);
  return withTypical(emptyState, perLoss < 0 ? Math.min(...losses) : Math.max(...losses));
}

/** For the round after: F is the median loss of this one. */
export function nextTilt(state: RuleState, facts: readonly UpdateFacts[]): RuleState {
  return withTypical(state, medianOf(facts.map(lossBefore)));
}

/** How far the losses are apart, and how many updates were held at the greatest tilt. */
export function tiltDiagnostics(
  facts: readonly UpdateFacts[],
  state: RuleState,
  perLoss: number,
): Record<string, number> {
  const losses = facts.map(lossBefore);
  return {
    ...lossDiagnostics(facts),
    lossSpread: Math.max(...losses) - Math.min(...losses),
    clipped: facts.filter((one) => tiltOf(one, state, perLoss) > TILT_MAX).length,
  };
}

/** The plain mean and the greatest of the losses before training. */
export function lossDiagnostics(facts: readonly UpdateFacts[]): Record<string, number> {
  const losses = facts.map(lossBefore);
  const meanLossBefore = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  return { meanLossBefore, worstLossBefore: Math.max(...losses) };
}
