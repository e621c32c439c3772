/** The rule that a command names, with its options and the optimizer on top. */
import { TributaryError } from '../../../protocol/errors.js';
import { loadRuleFile } from '../../adapters/rule-modules.js';
import type { Json } from '../../core/rules/rule.js';
import { rememberRule } from '../../engine/own-rules.js';
import type { RunRule } from '../../engine/run-rule.js';
import { composedRule } from '../../engine/run-rule.js';
import type { FuseOptions } from '../fuse.js';
import { isRuleFile } from '../rules/file.js';

/** @throws TributaryError `rule_unknown`, `rule_options`, `bad_request`. */
export async function ruleOf(options: FuseOptions): Promise<RunRule> {
  const named = {
    name: options.rule,
    options: optionsOf(options.options, '--options'),
  };
  const optimizer = {
    name: options.optimizer,
    options: optionsOf(options.optimizerOptions, '--optimizer-options'),
  };
  if (!isRuleFile(options.rule)) return composedRule({ rule: named, optimizer, after: [] });
  const { rule, sha256 } = await loadRuleFile(options.rule);
  rememberRule(sha256, rule);
  const own = { ...named, name: rule.name, module: sha256 };
  return composedRule({ rule: own, optimizer, after: [] });
}

function optionsOf(text: string | undefined, what: string): Record<string, Json> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '{}');
  } catch (cause) {
    const why = (cause as Error).message;
    throw new TributaryError('bad_request', `${what} is not JSON: ${why}`, undefined, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, Json>;
  throw new TributaryError('bad_request', `${what}: write an object, such as '{"beta": 0.5}'`);
}
