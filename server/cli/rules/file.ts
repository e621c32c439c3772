/** How a rule's file is told from a rule's name. */

/** No name of the registry has a slash or ends like a file of code. */
export const RULE_FILE = /[/\\]|\.(ts|mts|js|mjs)$/;

export function isRuleFile(text: string): boolean {
  return RULE_FILE.test(text);
}
