/**
 * What was typical in the round before, kept in the rule's state.
 *
 * A weight of the exact fold must be known from the update alone and stay under a cap that was fixed
 * with the run. Where only the ratios of weights matter, they are measured against the median of the
 * round before: weights then stand around 1, whatever the units of the task. The median, because one
 * client that claims a loss of 1e300 must not push everybody else's weight to zero.
 */
import type { RuleState } from '../rule.js';

const TYPICAL = 'typical';

/** Of one number or more; the mean of the two in the middle where their count is even. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  // Halved before they are added: two that are huge would give infinity.
  return sorted[middle - 1] / 2 + sorted[middle] / 2;
}

/** The median of the round before; `first` while there was none. */
export function typicalOf({ values }: RuleState, first: number): number {
  return typeof values[TYPICAL] === 'number' ? values[TYPICAL] : first;
}

/** The state with this round's median. */
export function withTypical(state: RuleState, values: readonly number[]): RuleState {
  return { ...state, values: { ...state.values, [TYPICAL]: medianOf(values) } };
}
