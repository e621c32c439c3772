/** Pools of workers that do what the name of the run says (odd-worker.mjs), and what tests ask of them. */
import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import { afterEach } from 'vitest';
import type { WorkerAggregatorOptions } from '../../../server/adapters/aggregation/worker-aggregator.js';
import { workerAggregator } from '../../../server/adapters/aggregation/worker-aggregator.js';
import type { OracleProvider } from '../../../server/core/ports.js';
import type { AggregationInput } from '../../../server/engine/aggregation.js';
import type { Aggregator } from '../../../server/engine/aggregator.js';
import type { Piece } from '../../../server/engine/pieces.js';

export const noOracles: OracleProvider = {
  describe: () => 'none',
  open: () => Promise.reject(new Error('there is none')),
};

export const ODD_WORKER = new URL('./odd-worker.mjs', import.meta.url);

const opened: Aggregator[] = [];
afterEach(async () => {
  for (const aggregator of opened.splice(0)) await aggregator.close();
});

/** A pool of workers that do what the run is called; closed after the test. */
export function odd(options: Partial<WorkerAggregatorOptions> = {}): Aggregator {
  const aggregator = workerAggregator({
    blobs: { kind: 'directory', folder: '/nowhere' },
    oracles: noOracles,
    size: 1,
    limitMs: 60_000,
    entry: ODD_WORKER,
    ...options,
  });
  opened.push(aggregator);
  return aggregator;
}

export interface Signals {
  /** Where workers say that they have begun. */
  readonly channel?: string;
  /** Not 0 where they may go on. */
  readonly gate?: Int32Array;
  /** How the names of this process's spooled files begin, with their folder. */
  readonly spooled?: string;
  /** What a worker offers to others. */
  readonly piece?: Piece;
}

export function input(deed: string, number = 1, signals: Signals = {}): AggregationInput {
  const round = { number, attempt: 1 };
  return { run: { id: deed }, round, ...signals } as unknown as AggregationInput;
}

/** The workers that have begun. */
export class Starters {
  readonly name = `begun ${randomUUID()}`;
  readonly threads: unknown[] = [];
  readonly #channel = new BroadcastChannel(this.name);
  #look: () => void = () => undefined;

  constructor() {
    this.#channel.onmessage = (message: unknown) => {
      this.threads.push((message as { data: unknown }).data);
      this.#look();
    };
  }

  /** Resolves when so many have begun. */
  async are(count: number): Promise<void> {
    while (this.threads.length < count) {
      await new Promise<void>((resolve) => (this.#look = resolve));
    }
  }

  close(): void {
    this.#channel.close();
  }
}

export async function threadOf(answer: Promise<unknown>): Promise<number> {
  return ((await answer) as { threadId: number }).threadId;
}
