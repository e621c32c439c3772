/** Rules that do not keep to the contract, as somebody's first one may not. */
import { z } from 'zod';
import { rules } from '../../../server/core/rules/index.js';
import type { AggregationRule, AnyRule, Outcome } from '../../../server/core/rules/rule.js';
import { emptyState } from '../../../server/core/rules/rule.js';

export const ODD_RULE = 'odd-rule';

type OddRule = AggregationRule<object, string[]>;

/** What a rule gives that leaves the model alone. */
export function nothing(clientIds: readonly string[], size: number): Outcome {
  return {
    delta: new Float64Array(size),
    state: emptyState,
    weights: Object.fromEntries(clientIds.map((id) => [id, 1 / clientIds.length])),
    diagnostics: {},
  };
}

/** Puts a rule into the registry. @returns what takes it out again */
export function register(changes: Partial<OddRule>): () => void {
  const rule: OddRule = {
    ...{ name: ODD_RULE, paper: 'none', options: z.strictObject({}), family: 'general', needs: {} },
    minUpdates: () => 1,
    begin: () => [],
    accumulate: (acc, { clientId }) => {
      acc.push(clientId);
      return Promise.resolve();
    },
    finish: (acc, { model }) => Promise.resolve(nothing(acc, model.length)),
    ...changes,
  };
  const registry = rules as Map<string, AnyRule>;
  registry.set(rule.name, rule);
  return () => registry.delete(rule.name);
}
