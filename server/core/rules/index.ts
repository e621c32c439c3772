/**
 * The registry of rules. A new rule is one file beside this one and one line in the list: contract
 * tests, command help, dashboard, validation and documentation read it from here.
 */
import { TributaryError } from '../../../protocol/errors.js';
import type { RuleInfo } from '../../../protocol/http.js';
import { suggestion } from '../suggest.js';
import { afl } from './afl.js';
import { bestClient } from './best-client.js';
import { bulyan } from './bulyan.js';
import { centeredClipping } from './centered-clipping.js';
import { clippedClustering } from './clipped-clustering.js';
import { dnc } from './dnc.js';
import { feasible } from './feasible.js';
import { fedasync } from './fedasync.js';
import { fedavg } from './fedavg.js';
import { fedbuff } from './fedbuff.js';
import { fedda } from './fedda.js';
import { feddyn } from './feddyn.js';
import { fedgp } from './fedgp.js';
import { fedlaw } from './fedlaw.js';
import { fedmgda } from './fedmgda.js';
import { fednova } from './fednova.js';
import { fedprox } from './fedprox.js';
import { fisher } from './fisher.js';
import { fltrust } from './fltrust.js';
import { geometricMedian } from './geometric-median.js';
import { influence } from './influence.js';
import { inverseVariance } from './inverse-variance.js';
import { klDro } from './kl-dro.js';
import { krum } from './krum.js';
import { median } from './median.js';
import { mimic } from './mimic.js';
import { modelStock } from './model-stock.js';
import { multiKrum } from './multi-krum.js';
import { normBoundMedian } from './norm-bound-median.js';
import { normBound } from './norm-bound.js';
import { catalogued } from './options.js';
import { power } from './power.js';
import { proxyFinetune } from './proxy-finetune.js';
import { proxyOnly } from './proxy-only.js';
import { qfedavg } from './qfedavg.js';
import type { AggregationRule, AnyRule, Needs } from './rule.js';
import { scaffold } from './scaffold.js';
import { signguard } from './signguard.js';
import { soupGreedy } from './soup-greedy.js';
import { soupLearned } from './soup-learned.js';
import { soupUniform } from './soup-uniform.js';
import { targetOnly } from './target-only.js';
import { term } from './term.js';
import { trimmedMean } from './trimmed-mean.js';
import { uniform } from './uniform.js';

export { parseOptions } from './options.js';

const all: readonly AnyRule[] = [
  fedavg,
  uniform,
  power,
  inverseVariance,
  fedprox,
  fednova,
  qfedavg,
  term,
  klDro,
  afl,
  feasible,
  fedbuff,
  fedasync,
  normBound,
  normBoundMedian,
  fedlaw,
  fedda,
  fedgp,
  fedmgda,
  influence,
  mimic,
  modelStock,
  soupUniform,
  soupGreedy,
  soupLearned,
  fisher,
  median,
  trimmedMean,
  krum,
  multiKrum,
  bulyan,
  geometricMedian,
  centeredClipping,
  clippedClustering,
  signguard,
  dnc,
  fltrust,
  scaffold,
  feddyn,
  bestClient,
  proxyOnly,
  proxyFinetune,
  targetOnly,
];

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
  const { oracle = false, target = false, vectors = [], metrics = [] } = rule.needs;
  return {
    ...catalogued(rule),
    family: rule.family,
    control: rule.control ?? false,
    needsVary: needsVary(rule),
    needs: {
      oracle,
      target,
      vectors: vectors.map(({ name, roles, many }) => ({ name, roles: [...roles], many })),
      metrics: [...metrics],
    },
  };
}

/** Whether the default options need less than the rule may need. */
function needsVary(rule: AnyRule): boolean {
  const defaults = rule.options.safeParse({});
  return defaults.success && !isSameNeed(needsOf(rule, defaults.data), rule.needs);
}

function isSameNeed(a: Needs, b: Needs): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
