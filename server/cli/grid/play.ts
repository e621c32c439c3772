/** Plays the runs of a grid, here or shared out to child processes: TF.js uses one core of each. */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TributaryError } from '../../../protocol/errors.js';
import { fromFailure } from '../../adapters/aggregation/failure.js';
import type { GridTask } from '../../simulation/grid.js';
import { playGridTask } from '../../simulation/grid.js';
import type { SimulatedRun } from '../../simulation/simulate.js';
import type { WorkerAnswer } from './worker.js';

/** Runs in the order of their tasks. */
export async function playHere(
  tasks: readonly GridTask[],
  onRun: () => void,
): Promise<SimulatedRun[]> {
  const runs: SimulatedRun[] = [];
  for (const task of tasks) {
    runs.push(await playGridTask(task));
    onRun();
  }
  return runs;
}

/**
 * Runs in the order of their tasks, whoever played them: the same bits as {@link playHere}.
 * @param start starts a process that plays what it is sent, as `worker.ts` does
 * @throws what the first run that fails threw, with its stack; TributaryError `internal` where a
 * process cannot be started or ends early.
 */
export async function playInProcesses(
  tasks: readonly GridTask[],
  processes: number,
  onRun: () => void,
  start: () => ChildProcess = startWorker,
): Promise<SimulatedRun[]> {
  const runs: SimulatedRun[] = [];
  const left = [...tasks.entries()];
  const children = Array.from({ length: Math.min(processes, tasks.length) }, start);
  const work = async (child: ChildProcess): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [index, task] = next;
      runs[index] = await ask(child, task);
      onRun();
    }
  };
  try {
    await Promise.all(children.map(work));
    return runs;
  } finally {
    for (const child of children) child.kill();
  }
}

/** The built `worker.js`, or `worker.ts` where this is run from its source. */
function startWorker(): ChildProcess {
  const entry = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
  return fork(fileURLToPath(entry));
}

function ask(child: ChildProcess, task: GridTask): Promise<SimulatedRun> {
  return new Promise((resolve, reject) => {
    const lost = (why: string, cause?: Error): void => {
      const message = `a process of the grid ${why}`;
      reject(new TributaryError('internal', message, undefined, { cause }));
    };
    const gone = (code: number | null, signal: string | null): void =>
      lost(`ended early (${signal ?? code})`);
    const failed = (error: Error): void => lost(`could not be started: ${error.message}`, error);
    child.once('exit', gone);
    child.once('error', failed);
    child.once('message', (answer: WorkerAnswer) => {
      child.off('exit', gone);
      child.off('error', failed);
      if (answer.run) resolve(answer.run);
      else reject(fromFailure(answer.error));
    });
    // Without a callback an error would be thrown from nowhere, and the grid would wait for ever.
    child.send(task, (error) => {
      if (error) lost(`takes no runs: ${error.message}`, error);
    });
  });
}
