/** `tributary demo`: real digits, real processes, real Postgres; ends by itself with a table. */
import type { Command } from 'commander';
import { Option } from 'commander';

export interface DemoOptions {
  readonly rule: 'fedlaw' | 'fedgp';
  readonly rounds: string;
  readonly seed: string;
  readonly keep?: boolean;
  readonly json?: boolean;
}

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description('train on real digits with client processes on this machine, and compare rules')
    .addOption(
      new Option(
        '--rule <story>',
        'fedlaw: label skew, against FedAvg; fedgp: domain shift, against FedDA',
      )
        .choices(['fedlaw', 'fedgp'])
        .default('fedlaw'),
    )
    .option('--rounds <number>', 'rounds of each run', '16')
    .option('--seed <number>', 'seeds data, model and clients', '1')
    .option('--keep', 'go on serving afterwards, until Ctrl-C')
    .option('--json', 'print the result as JSON')
    .action(async (options: DemoOptions) => {
      const { demo } = await import('./demo/command.js');
      await demo(options);
    });
}
