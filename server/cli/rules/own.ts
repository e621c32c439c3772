/** A rule from a file for a command that computes in its own process: `fuse`, `simulate`. */
import { loadRuleFile } from '../../adapters/rule-modules.js';
import { checkOwnName, rememberRule } from '../../engine/own-rules.js';

/** What a run specification says of a rule, but for its options. */
interface OwnRule {
  readonly name: string;
  readonly module: string;
}

/**
 * Loads a rule and makes it known in this process.
 * @throws TributaryError `bad_request` where it is no rule, or has the name of one of Tributary's.
 */
export async function takeRuleFile(path: string): Promise<OwnRule> {
  const { rule, sha256 } = await loadRuleFile(path);
  rememberRule(sha256, rule);
  const own = { name: rule.name, module: sha256 };
  checkOwnName({ ...own, options: {} });
  return own;
}
