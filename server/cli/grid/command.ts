/** What `tributary grid` does. */
import { availableParallelism } from 'node:os';
import { TributaryError } from '../../../protocol/errors.js';
import type { GridSize } from '../../simulation/grid.js';
import { fullGrid, gridResult, gridTasks, quickGrid } from '../../simulation/grid.js';
import { prepareCommonBackend } from '../backend.js';
import type { GridOptions } from '../grid.js';
import { note } from '../note.js';
import { wholeNumber } from '../options.js';
import { print } from '../output.js';
import { playHere, playInProcesses } from './play.js';
import { renderedGrid } from './results.js';

export async function grid(options: GridOptions): Promise<void> {
  const size = options.quick ? quickGrid : sizeOf(options);
  const backend = await prepareCommonBackend();
  const tasks = gridTasks(size);
  let played = 0;
  const onRun = (): void => note(`${++played} of ${tasks.length} runs`);
  const processes = processesOf(options);
  const runs =
    processes > 1 ? await playInProcesses(tasks, processes, onRun) : await playHere(tasks, onRun);
  note('');
  print({ ...gridResult(size, runs), backend }, options.json, renderedGrid);
}

function sizeOf({ seeds, rounds, alpha }: GridOptions): GridSize {
  const count = positive(seeds, '--seeds');
  return {
    ...fullGrid,
    seeds: Array.from({ length: count }, (_, i) => i + 1),
    rounds: positive(rounds, '--rounds'),
    alpha: alpha === undefined ? null : positiveNumber(alpha, '--alpha'),
  };
}

/** A few runs are over before a second process has loaded TF.js. */
function processesOf({ processes, quick }: GridOptions): number {
  if (processes !== undefined) return positive(processes, '--processes');
  return quick ? 1 : availableParallelism();
}

function positive(text: string, what: string): number {
  const value = wholeNumber(text, what);
  if (value >= 1) return value;
  throw new TributaryError('bad_request', `${what}: give 1 or more`);
}

function positiveNumber(text: string, what: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new TributaryError('bad_request', `${what}: "${text}" is not a positive number`);
}
