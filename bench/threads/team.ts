/** Threads with a stretch each of the same K rows, as the threads of an aggregation have. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Order, Share } from './member.js';

const ENTRY = new URL('worker.mjs', import.meta.url);

export class Team {
  private constructor(private readonly workers: readonly Worker[]) {}

  /** Resolves when every thread has made its rows. */
  static async start(threads: number, K: number, P: number): Promise<Team> {
    const share: Share = { K, P: Math.ceil(P / threads) };
    const workers = Array.from({ length: threads }, () => new Worker(ENTRY, { workerData: share }));
    await Promise.all(workers.map(answer));
    return new Team(workers);
  }

  /** Seconds by the clock on the wall until the last thread has done it so many times. */
  async run(kernel: Order['kernel'], times: number): Promise<number> {
    const order: Order = { kernel, times };
    const begun = performance.now();
    const answers = this.workers.map(answer);
    for (const worker of this.workers) worker.postMessage(order);
    await Promise.all(answers);
    return (performance.now() - begun) / 1000 / times;
  }

  async end(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

/** Rejects where the thread fails. */
function answer(worker: Worker): Promise<unknown> {
  return once(worker, 'message');
}
