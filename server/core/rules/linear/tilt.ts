/** Weights n_i exp(x_i), for TERM and KL-DRO: only their ratios matter. */
import { exp } from '../../math.js';
import { EXAMPLES_MAX } from '../fedavg.js';
import { lossBefore } from '../metrics.js';
import type { RuleState, UpdateFacts } from '../rule.js';
import { typicalOf } from './typical.js';

/** How much more than its examples an update may count: the room that the exact fold keeps for it. */
const TILT_MAX = 256;

/** Greatest weight that {@link tilted} gives. */
export const TILTED_MAX = EXAMPLES_MAX * TILT_MAX;

export interface Tilt {
  /** What a loss is multiplied with in the exponent. */
  readonly perLoss: number;
  /** The loss that the first round is measured from. */
  readonly firstLoss: number;
}

/** n_i exp(perLoss * (F_i - typical F)), the exponential held at {@link TILT_MAX}. */
export function tilted(facts: UpdateFacts, state: RuleState, tilt: Tilt): number {
  return facts.numExamples * Math.min(exp(exponentOf(facts, state, tilt)), TILT_MAX);
}

function exponentOf(facts: UpdateFacts, state: RuleState, { perLoss, firstLoss }: Tilt): number {
  return perLoss * (lossBefore(facts) - typicalOf(state, firstLoss));
}

/** How far the losses are apart, and how many updates were held at the greatest tilt. */
export function tiltDiagnostics(
  facts: readonly UpdateFacts[],
  state: RuleState,
  tilt: Tilt,
): Record<string, number> {
  const losses = facts.map(lossBefore);
  const held = facts.filter((one) => exp(exponentOf(one, state, tilt)) > TILT_MAX);
  return {
    ...lossDiagnostics(facts),
    lossSpread: Math.max(...losses) - Math.min(...losses),
    clipped: held.length,
  };
}

/** The plain mean and the greatest of the losses before training. */
export function lossDiagnostics(facts: readonly UpdateFacts[]): Record<string, number> {
  const losses = facts.map(lossBefore);
  const meanLossBefore = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  return { meanLossBefore, worstLossBefore: Math.max(...losses) };
}
