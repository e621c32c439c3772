/**
 * Rules that are no part of the registry: operators' own, sent along with a run as a module
 * (docs/decisions/0010). A module is loaded once a process, before anything asks for its rule, since
 * most that ask cannot wait.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { RunSpec } from '../../protocol/run.js';
import type { RuleModules } from '../core/ports.js';
import { findRule, rules } from '../core/rules/index.js';
import type { AnyRule } from '../core/rules/rule.js';

type RuleSpec = RunSpec['rule'];

/** By the sha256 of the module: the same bytes are the same rule for every run of the process. */
const known = new Map<string, AnyRule>();

/** Makes a rule that was loaded already known in this process, under its module's sha256. */
export function rememberRule(sha256: string, rule: AnyRule): void {
  known.set(sha256, rule);
}

/**
 * Loads the module that a run's rule comes from, where it comes from one: to be awaited before
 * `composedRule` is asked about the run. Without `modules`, only rules that are known already will do.
 *
 * @throws TributaryError as {@link RuleModules.load} does.
 */
export async function loadOwnRule(
  { rule: { name, module } }: Pick<RunSpec, 'rule'>,
  modules: RuleModules | undefined,
): Promise<void> {
  if (module === undefined) return;
  // Asked each time: another coordinator of the same process may take rules where this one does not.
  if (modules) rememberRule(module, await modules.load(module));
  else if (!known.has(module)) {
    const message = `rule.module: rules from files are not taken here, so "${name}" cannot be`;
    throw new TributaryError('rule_unknown', message);
  }
}

/**
 * The rule that a run names: of the registry, or its own.
 * @throws TributaryError `rule_unknown`; `internal` for a module that was not loaded.
 */
export function ruleOf({ name, module }: Pick<RuleSpec, 'name' | 'module'>): AnyRule {
  if (module === undefined) return findRule(name);
  const rule = known.get(module);
  if (rule) return rule;
  throw new TributaryError('internal', `the module of the rule "${name}" is not loaded`);
}

/**
 * Records name a rule, so one name must not stand for two. Asked when a run is created, and not
 * again: a later version may have a rule of that name.
 *
 * @throws TributaryError `bad_request`.
 */
export function checkOwnName({ name, module }: RuleSpec): void {
  if (module === undefined) return;
  const refuse = (why: string): never => {
    throw new TributaryError('bad_request', `rule.name: ${why}`, { path: 'rule.name' });
  };
  const own = ruleOf({ name, module }).name;
  if (own !== name) refuse(`the run says "${name}", and the module's rule is called "${own}"`);
  if (rules.has(name)) refuse(`"${name}" is a rule of Tributary's: give yours another name`);
}
