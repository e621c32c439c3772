/**
 * What was typical in the round before, kept in the rule's state.
 *
 * A weight of the exact fold must stay under a cap that was fixed with the run. Where only the ratios
 * of weights matter, they are measured against the median of the round before: weights then stand
 * around 1, whatever the units of the task. The median, because one client that claims a loss of
 * 1e300 must not push everybody else's weight to zero.
 *
 * In a first round there is none. Weights are then measured against the update that weighs most
 * (`first` of linearRule): none is above 1, so nothing has to be held down, and they are the formula's.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import type { RuleState } from '../rule.js';

const TYPICAL = 'typical';

/** What weights are measured against. @throws TributaryError `internal` where it is not known. */
export function typicalOf({ values }: RuleState): number {
  if (typeof values[TYPICAL] === 'number') return values[TYPICAL];
  throw new TributaryError('internal', 'a rule asked for what is typical before a round was');
}

/**
 * The state with this value; as it was where the value is not above `least`. After a round in which
 * all losses were 0, everybody would else be far above what is typical.
 */
export function withTypical(state: RuleState, value: number, least = -Infinity): RuleState {
  return value > least ? { ...state, values: { ...state.values, [TYPICAL]: value } } : state;
}
