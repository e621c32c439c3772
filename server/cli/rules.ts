/** `tributary rules`, `tributary rules show NAME`, `tributary rules check FILE`: no coordinator is asked. */
import type { Command } from 'commander';
import { print } from './output.js';

interface RulesOptions {
  readonly json?: boolean;
}

export function addRulesCommands(program: Command): void {
  const rules = program
    .command('rules')
    .description('aggregation rules, server optimizers, steps after aggregation')
    .option('--json', 'print JSON')
    .action(async (options: RulesOptions) => {
      const { catalogue } = await import('../core/catalogue.js');
      const { rulesListed } = await import('./rules/list.js');
      print(catalogue(), options.json, rulesListed);
    });

  rules
    .command('show <name>')
    .description('one of them in full: paper, use, needs, options; or a rule from a file')
    .option('--json', 'print JSON')
    .action(async (name: string, _: RulesOptions, command: Command) => {
      const { entryShown } = await import('./rules/show.js');
      print(await entryOf(name), command.optsWithGlobals<RulesOptions>().json, entryShown);
    });

  rules
    .command('check <file>')
    .description('try a rule of your own on rounds in memory: what every rule must keep')
    .option('--options <json>', "the rule's options; its defaults where nothing is said")
    .option('--json', 'print JSON')
    .action(async (file: string, { options }: { options?: string }, command: Command) => {
      const { checkRule } = await import('./rules/check/command.js');
      await checkRule(file, options, command.optsWithGlobals<RulesOptions>().json);
    });
}

async function entryOf(name: string) {
  const { isRuleFile } = await import('./rules/file.js');
  if (isRuleFile(name)) {
    const { loadRuleFile } = await import('../adapters/rule-modules.js');
    const { ruleInfo } = await import('../core/rules/index.js');
    return ruleInfo((await loadRuleFile(name)).rule);
  }
  const { catalogue } = await import('../core/catalogue.js');
  const { entryNamed } = await import('./rules/show.js');
  return entryNamed(name, catalogue());
}
