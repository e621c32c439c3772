/** `tributary compare`: rules beside each other on the same seeds, mean and spread over seeds. */
import type { Command } from 'commander';

export interface CompareOptions {
  readonly seeds: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

export function addCompareCommand(program: Command): void {
  program
    .command('compare')
    .description('FedLAW against FedAvg under label skew, FedGP against FedDA under domain shift')
    .option('--seeds <number>', 'how many seeds, from 1', '5')
    .option('--quick', 'one seed and two rounds: only whether it runs')
    .option('--json', 'print JSON')
    .action(async (options: CompareOptions) => {
      const { compare } = await import('./compare/command.js');
      await compare(options);
    });
}
