/** A process that plays runs of a grid, one at a time, for the process that started it. */
import type { Failure } from '../../adapters/aggregation/failure.js';
import { toFailure } from '../../adapters/aggregation/failure.js';
import type { GridTask } from '../../simulation/grid.js';
import { playGridTask } from '../../simulation/grid.js';
import type { SimulatedRun } from '../../simulation/simulate.js';

/** The run, or why there is none. */
export type WorkerAnswer =
  | { readonly run: SimulatedRun; readonly error?: never }
  | { readonly run?: never; readonly error: Failure };

process.on('message', (task: GridTask) => {
  void answer(task).then((message) => process.send?.(message));
});

async function answer(task: GridTask): Promise<WorkerAnswer> {
  try {
    return { run: await playGridTask(task) };
  } catch (error) {
    return { error: toFailure(error) };
  }
}
