/**
 * The registry of rules. A new rule is one file beside this one and one line in the list: contract
 * tests, command help, dashboard, validation and documentation read it from here.
 */
import { TributaryError } from '../../../protocol/errors.js';
import type { RuleInfo } from '../../../protocol/http.js';
import { suggestion } from '../suggest.js';
import { fedavg } from './fedavg.js';
import { fedda } from './fedda.js';
import { fedgp } from './fedgp.js';
import { fedlaw } from './fedlaw.js';
import { median } from './median.js';
import { optionsSchema } from './options.js';
import type { AggregationRule, AnyRule, Needs } from './rule.js';
import { trimmedMean } from './trimmed-mean.js';
import { uniform } from './uniform.js';

export { parseOptions } from './options.js';

const all: readonly AnyRule[] = [fedavg, uniform, fedlaw, fedda, fedgp, median, trimmedMean];

export const rules: ReadonlyMap<string, AnyRule> = new Map(all.map((rule) => [rule.name, rule]));

/** @throws TributaryError `rule_unknown`, suggesting the nearest name. */
export function findRule(name: string): AnyRule {
  const rule = rules.get(name);
  if (rule) return rule;
  throw new TributaryError(
    'rule_unknown',
    `there is no rule "${name}"${suggestion(name, rules.keys())}`,
  );
}

/** What a rule needs under these options. */
export function needsOf<O, Acc>(rule: AggregationRule<O, Acc>, options: O): Needs {
  return rule.needed?.(options) ?? rule.needs;
}

/** A rule as `GET /v1/rules` shows it. */
export function ruleInfo(rule: AnyRule): RuleInfo {
  const { oracle = false, target = false, vectors = [] } = rule.needs;
  return {
    name: rule.name,
    family: rule.family,
    paper: rule.paper,
    options: optionsSchema(rule),
    needs: {
      oracle,
      target,
      vectors: vectors.map(({ name, roles, many }) => ({ name, roles: [...roles], many })),
    },
  };
}
