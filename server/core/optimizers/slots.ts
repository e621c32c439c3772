/** The vectors that an optimizer keeps between rounds. */
import { TributaryError } from '../../../protocol/errors.js';
import type { RuleState } from '../rules/rule.js';

/**
 * A copy of a vector of the state, filled with `start` in the first round.
 * @throws TributaryError `internal` where the state belongs to a model of another size.
 */
export function slot(state: RuleState, name: string, size: number, start: number): Float64Array {
  if (!Object.hasOwn(state.tensors, name)) return new Float64Array(size).fill(start);
  const stored = state.tensors[name];
  if (stored.length === size) return Float64Array.from(stored);
  const message = `the optimizer's "${name}" has ${stored.length} elements, the model ${size}`;
  throw new TributaryError('internal', message);
}
