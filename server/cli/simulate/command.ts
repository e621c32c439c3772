/** What `tributary simulate` does. */
import { simulate } from '../../simulation/simulate.js';
import type { Simulation } from '../../simulation/simulation-file.js';
import { prepareCommonBackend } from '../backend.js';
import { print } from '../output.js';
import { note } from '../note.js';
import type { SimulateCommandOptions } from '../simulate.js';
import { loadSimulation } from './file.js';
import { simulated } from './results.js';

export async function simulateFile(
  path: string,
  { quick = false, json }: SimulateCommandOptions,
): Promise<void> {
  const backend = await prepareCommonBackend();
  const simulation = await loadSimulation(path);
  const result = await simulate(quick ? quickened(simulation) : simulation, {
    onRun: (label, { seed, rounds, diverged }) => {
      const accuracy = rounds.at(-1)?.metrics.accuracy;
      note(`${label}, seed ${seed}: ${diverged ? 'diverged' : (accuracy?.toFixed(4) ?? 'done')}`);
    },
  });
  note('');
  print({ ...result, backend }, json, simulated);
}

function quickened(simulation: Simulation): Simulation {
  return { ...simulation, seeds: simulation.seeds.slice(0, 1), rounds: 2, evaluateEvery: 1 };
}
