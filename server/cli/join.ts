/** `tributary join URL --token … --data …`: a Node client on a local data file. */
import type { Command } from 'commander';

export interface JoinCommandOptions {
  readonly token?: string;
  readonly data?: string;
  readonly validation?: string;
  readonly state?: string;
  readonly check?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function addJoinCommand(program: Command): void {
  program
    .command('join <url>')
    .description('take part in a run with a local data file')
    .option('--token <token>', 'the token of this client; else $TRIBUTARY_TOKEN')
    .option('--data <file>', 'examples to train on: .csv or .safetensors (x, y)')
    .option('--validation <file>', 'examples to evaluate on, and to answer an oracle from')
    .option('--state <folder>', 'keep there what the rule keeps on this client, over restarts')
    .option('--check', "hold the data against the task's contract, say what is in it, and stop")
    .option('--quiet', 'print nothing but errors')
    .option('--json', 'print the summary as JSON')
    .action(async (url: string, options: JoinCommandOptions) => {
      const { joinCommand } = await import('./join/command.js');
      await joinCommand(url, options);
    });
}
