import { findRule } from '../../../server/core/rules/index.js';
import type { RuleContext } from '../../../server/core/rules/rule.js';
import type { Aggregated, TestUpdate } from '../round.js';
import { aggregateWith } from '../round.js';

/** One round under a rule of the registry, of a model that is all zero. */
export function fromZero(
  rule: string,
  options: object,
  updates: readonly TestUpdate[],
  more: Partial<RuleContext<unknown>> = {},
): Promise<Aggregated> {
  const model = updates[0].delta.map(() => 0);
  return aggregateWith(findRule(rule), options, model, updates, more);
}
