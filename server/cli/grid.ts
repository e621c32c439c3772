/** `tributary grid`: robust rules under attacks. */
import type { Command } from 'commander';

export interface GridOptions {
  readonly seeds: string;
  readonly rounds: string;
  readonly alpha?: string;
  readonly processes?: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

export function addGridCommand(program: Command): void {
  program
    .command('grid')
    .description('robust rules under attacks by one fifth of the clients, and what papers claim')
    .option('--seeds <number>', 'how many seeds, from 1', '1')
    .option('--rounds <number>', 'rounds of each run', '10')
    .option('--alpha <number>', 'label skew, Dirichlet(alpha); by default equal shares')
    .option('--processes <number>', 'share the runs out to so many; by default one a core')
    .option('--quick', 'three rules, two attacks, two rounds: only whether it runs')
    .option('--json', 'print JSON')
    .action(async (options: GridOptions) => {
      const { grid } = await import('./grid/command.js');
      await grid(options);
    });
}
