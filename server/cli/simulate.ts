/** `tributary simulate FILE`: rules on data that is dealt out in this process, without a network. */
import type { Command } from 'commander';

export interface SimulateCommandOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

export function addSimulateCommand(program: Command): void {
  program
    .command('simulate <file>')
    .description('run rules, and attacks on them, on simulated clients as a file says')
    .option('--quick', 'one seed and two rounds: only whether it runs')
    .option('--json', 'print JSON')
    .action(async (file: string, options: SimulateCommandOptions) => {
      const { simulateFile } = await import('./simulate/command.js');
      await simulateFile(file, options);
    });
}
