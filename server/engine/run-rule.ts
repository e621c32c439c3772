/** The rule of a run with its server optimizer and the steps after it, their options parsed. */
import { TributaryError } from '../../protocol/errors.js';
import type { Role, RunSpec } from '../../protocol/run.js';
import { findOptimizer } from '../core/optimizers/index.js';
import type { RuleModules } from '../core/ports.js';
import type { Run } from '../core/records.js';
import { compose } from '../core/rules/compose.js';
import { needsOf, parseOptions } from '../core/rules/index.js';
import type { AnyRule, Needs, RuleState, Tensors, VectorNeed } from '../core/rules/rule.js';
import { findStep } from '../core/steps/index.js';
import { loadOwnRule, ruleOf } from './own-rules.js';

export interface RunRule {
  /** The aggregation rule alone, and its options. */
  readonly inner: AnyRule;
  readonly innerOptions: unknown;
  /** Rule, optimizer and steps as one rule, and the options of all. */
  readonly rule: AnyRule;
  readonly options: unknown;
  readonly optimizerOptions: unknown;
  /** Of the steps after aggregation, in their order. */
  readonly afterOptions: readonly unknown[];
  readonly needs: Needs;
  readonly minUpdates: number;
}

/**
 * A rule from a module must have been loaded before (`loadOwnRule`).
 * @throws TributaryError `rule_unknown`, `rule_options`.
 */
export function composedRule(spec: Pick<RunSpec, 'rule' | 'optimizer' | 'after'>): RunRule {
  const inner = ruleOf(spec.rule);
  const optimizer = findOptimizer(spec.optimizer.name);
  const innerOptions = parseOptions(inner, spec.rule.options);
  const optimizerOptions = parseOptions(optimizer, spec.optimizer.options);
  const steps = spec.after.map(({ name }) => findStep(name));
  const afterOptions = steps.map((step, i) => parseOptions(step, spec.after[i].options));
  return {
    inner,
    innerOptions,
    rule: compose(inner, optimizer, steps),
    options: { rule: innerOptions, optimizer: optimizerOptions, after: afterOptions },
    optimizerOptions,
    afterOptions,
    needs: needsOf(inner, innerOptions),
    minUpdates: inner.minUpdates(innerOptions),
  };
}

/**
 * Makes a run that exists already ready for `composedRule`, where one of its clients asks for it. A
 * coordinator that was restarted may refuse what the one before took, and its operator can put that
 * right: told so in words that no retry mends, every client would leave the run for good.
 *
 * @throws TributaryError `storage_unavailable`, with the reason.
 */
export async function loadRuleOf(
  { spec }: Pick<Run, 'spec'>,
  modules: RuleModules | undefined,
): Promise<void> {
  try {
    await loadOwnRule(spec, modules);
    composedRule(spec);
  } catch (cause) {
    if (!(cause instanceof TributaryError) || cause.retryable) throw cause;
    throw new TributaryError('storage_unavailable', cause.message, cause.details, { cause });
  }
}

/** Auxiliary vectors that a client with this role must send. */
export function vectorsFor(needs: Needs, role: Role): VectorNeed[] {
  return (needs.vectors ?? []).filter((need) => need.roles.includes(role));
}

/** What goes down with the model of this state; nothing for most rules. */
export function broadcastOf(spec: RunSpec, state: RuleState): Tensors {
  return composedRule(spec).rule.broadcast?.(state) ?? {};
}
