/** `tributary join URL --token … --data …`: a Node client on a local data file. */
import type { Command } from 'commander';

export interface JoinCommandOptions {
  readonly token?: string;
  readonly run?: string;
  readonly name?: string;
  readonly data?: string;
  readonly validation?: string;
  readonly state?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly policy?: string;
  readonly review?: boolean;
  readonly yes?: boolean;
  readonly check?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function addJoinCommand(program: Command): void {
  program
    .command('join <url...>')
    .description('take part in a run with a local data file (several URLs: tried in turn)')
    .option('--token <token>', 'the token of this client; else $TRIBUTARY_TOKEN')
    .option('--run <id>', 'enrol in this run, which is open or approves who comes; no token needed')
    .option('--name <name>', 'with --run: the name to enrol under; else one is given')
    .option('--data <file>', 'examples to train on: .csv or .safetensors (x, y)')
    .option('--validation <file>', 'examples to evaluate on, and to answer an oracle from')
    .option(
      '--state <folder>',
      'keep there what the rule keeps on this client, and the token of --run, over restarts',
    )
    .option('--ca <file>', "certificates to trust, in PEM form; else the system's")
    .option('--cert <file>', 'client certificate of this site, in PEM form')
    .option('--key <file>', 'the private key of --cert')
    .option('--policy <file>', 'JSON: what this site allows, applied before anything leaves')
    .option('--review', 'show what would be run and sent, and ask before taking part')
    .option('--yes', 'with --review: agree without being asked')
    .option('--check', "hold the data against the task's contract, say what is in it, and stop")
    .option('--quiet', 'print nothing but errors')
    .option('--json', 'print the summary as JSON')
    .action(async (urls: string[], options: JoinCommandOptions) => {
      const { joinCommand } = await import('./join/command.js');
      await joinCommand(urls, options);
    });
}
