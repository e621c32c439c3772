/** The rule of a run with its server optimizer on top, its options parsed. */
import type { Role, RunSpec } from '../../protocol/run.js';
import { findOptimizer } from '../core/optimizers/index.js';
import { findRule, needsOf, parseOptions } from '../core/rules/index.js';
import type { AnyRule, Needs, VectorNeed } from '../core/rules/rule.js';
import { withOptimizer } from '../core/rules/with-optimizer.js';

export interface RunRule {
  /** The aggregation rule alone, and its options. */
  readonly inner: AnyRule;
  readonly innerOptions: unknown;
  /** Rule and optimizer as one rule, and the options of both. */
  readonly rule: AnyRule;
  readonly options: unknown;
  readonly optimizerOptions: unknown;
  readonly needs: Needs;
  readonly minUpdates: number;
}

/** @throws TributaryError `rule_unknown`, `rule_options`. */
export function composedRule(spec: Pick<RunSpec, 'rule' | 'optimizer'>): RunRule {
  const inner = findRule(spec.rule.name);
  const optimizer = findOptimizer(spec.optimizer.name);
  const innerOptions = parseOptions(inner, spec.rule.options);
  const optimizerOptions = parseOptions(optimizer, spec.optimizer.options);
  return {
    inner,
    innerOptions,
    rule: withOptimizer(inner, optimizer),
    options: { rule: innerOptions, optimizer: optimizerOptions },
    optimizerOptions,
    needs: needsOf(inner, innerOptions),
    minUpdates: inner.minUpdates(innerOptions),
  };
}

/** Auxiliary vectors that a client with this role must send. */
export function vectorsFor(needs: Needs, role: Role): VectorNeed[] {
  return (needs.vectors ?? []).filter((need) => need.roles.includes(role));
}
