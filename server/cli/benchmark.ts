/** `tributary benchmark heart`: published benchmarks, played again by their protocol. */
import type { Command } from 'commander';

export interface BenchmarkOptions {
  readonly seeds: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

export function addBenchmarkCommand(program: Command): void {
  const benchmark = program
    .command('benchmark')
    .description('published benchmarks, played again by their protocol');

  benchmark
    .command('heart')
    .description('heart disease at four hospitals (FLamby): six rules beside the constant')
    .option('--seeds <number>', 'how many seeds, from 0', '5')
    .option('--quick', 'one seed, two rounds of ten steps: only whether it runs')
    .option('--json', 'print JSON')
    .action(async (options: BenchmarkOptions) => {
      const { benchmarkHeart } = await import('./benchmark/heart.js');
      await benchmarkHeart(options);
    });
}
