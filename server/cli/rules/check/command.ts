/** What `tributary rules check` does. */
import { loadRuleFile } from '../../../adapters/rule-modules.js';
import { findRule, parseOptions } from '../../../core/rules/index.js';
import type { AnyRule } from '../../../core/rules/rule.js';
import { jsonOption } from '../../json-file.js';
import { print } from '../../output.js';
import { isRuleFile } from '../file.js';
import { beside, wrap } from '../wrap.js';
import type { Finding } from './checks.js';
import { findings } from './checks.js';

const COLUMN = 11;

/** Prints what holds; the exit code is 1 where something does not that must. */
export async function checkRule(name: string, options?: string, json?: boolean): Promise<void> {
  const rule = isRuleFile(name) ? (await loadRuleFile(name)).rule : findRule(name);
  const found = await findings(rule, parseOptions(rule, jsonOption(options, '--options')));
  print({ rule: rule.name, findings: found }, json, () => shown(rule, found));
  if (found.some(({ holds, required }) => required && !holds)) process.exitCode = 1;
}

function shown(rule: AnyRule, found: readonly Finding[]): string {
  const differs = found.some(({ holds, required }) => !required && !holds);
  const failed = found.filter(({ holds, required }) => required && !holds).length;
  return [
    ...wrap(`${rule.name}, a ${rule.family} rule`),
    ...found.flatMap(line),
    ...(differs ? ['', 'differs: most rules keep this; say in the docs why yours does not'] : []),
    ...(failed > 0 ? ['', `${failed} of what every rule must keep does not hold`] : []),
  ].join('\n');
}

function line({ what, holds, required, why }: Finding): string[] {
  const mark = holds ? 'ok' : required ? 'FAILS' : 'differs';
  return beside(`  ${mark}`, why === undefined ? what : `${what}: ${why}`, COLUMN);
}
