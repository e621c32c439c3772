/** A thread of a team: it has a stretch of all rows, and reads or folds it as often as it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { fill } from '../fill.js';
import { resident } from '../resident.js';

export interface Share {
  readonly K: number;
  /** Elements of this thread's stretch. */
  readonly P: number;
}

export interface Order {
  readonly kernel: 'readSum' | 'fold';
  readonly times: number;
}

const { K, P } = workerData as Share;
const x = resident(K, P, fill);

parentPort?.on('message', ({ kernel, times }: Order) => {
  for (let i = 0; i < times; i++) x[kernel](P);
  parentPort?.postMessage('done');
});
parentPort?.postMessage('ready');
