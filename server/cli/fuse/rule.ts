/** The rule that a command names, with its options and the optimizer on top. */
import type { RunRule } from '../../engine/run-rule.js';
import { composedRule } from '../../engine/run-rule.js';
import type { FuseOptions } from '../fuse.js';
import { jsonOption } from '../json-file.js';
import { isRuleFile } from '../rules/file.js';
import { takeRuleFile } from '../rules/own.js';

/** @throws TributaryError `rule_unknown`, `rule_options`, `bad_request`. */
export async function ruleToFuse(options: FuseOptions): Promise<RunRule> {
  const ofRule = jsonOption(options.options, '--options');
  const optimizer = {
    name: options.optimizer,
    options: jsonOption(options.optimizerOptions, '--optimizer-options'),
  };
  const named = isRuleFile(options.rule)
    ? await takeRuleFile(options.rule)
    : { name: options.rule };
  return composedRule({ rule: { ...named, options: ofRule }, optimizer, after: [] });
}
