/** Aggregation in worker threads: the coordinator goes on answering while a round is folded. */
import { TributaryError } from '../../../protocol/errors.js';
import type { OracleProvider } from '../../core/ports.js';
import type { AggregationInput, AggregationResult } from '../../engine/aggregation.js';
import type { Aggregator } from '../../engine/aggregator.js';
import { AtMost } from '../at-most.js';
import type { WorkerSettings } from './services.js';
import { AggregationThread, ThreadEnded } from './thread.js';

export interface WorkerAggregatorOptions extends WorkerSettings {
  /** Oracles that a worker cannot be itself: questions to clients. */
  readonly oracles: OracleProvider;
  /** Rounds aggregated at once, one a thread. */
  readonly size: number;
  /** How long a round may take, in milliseconds. */
  readonly limitMs: number;
  /** The built file of the worker: Node 20 runs no TypeScript. */
  readonly entry?: URL;
}

/** Where the compiler puts the worker, beside this file. In the sources there is none. */
export const workerEntry = new URL('./worker.js', import.meta.url);

/** A worker that runs out of memory does so again; one that an administrator killed does not. */
const MOST_DEATHS = 3;

/**
 * A pool of threads, each started when it is first needed and kept; one that dies is replaced.
 *
 * Aggregating throws TributaryError `storage_unavailable` where the worker died or the aggregator was
 * closed, `internal` where it died over the same round again and again, or took too long, and
 * `run_over` where the signal said that nobody waits for it.
 */
export function workerAggregator(options: WorkerAggregatorOptions): Aggregator {
  const { blobs, oracles, size, limitMs, entry = workerEntry } = options;
  const turns = new AtMost(size);
  const deaths = new Deaths();
  const threads = new Set<AggregationThread>();
  const idle: AggregationThread[] = [];
  let closed = false;

  const start = (): AggregationThread => {
    const thread = new AggregationThread(entry, { blobs }, oracles);
    threads.add(thread);
    void thread.gone.then(() => threads.delete(thread));
    return thread;
  };

  const idleThread = (): AggregationThread => {
    const thread = idle.pop() ?? start();
    return thread.isAlive ? thread : idleThread();
  };

  const work = async (
    input: AggregationInput,
    signal?: AbortSignal,
  ): Promise<AggregationResult> => {
    if (closed) throw stopping();
    if (signal?.aborted) throw stopped(input);
    const thread = idleThread();
    const limit = setTimeout(() => void thread.end(tooLong(limitMs)), limitMs);
    const onStop = (): void => void thread.end(stopped(input));
    signal?.addEventListener('abort', onStop);
    try {
      const result = await thread.aggregate(input);
      deaths.forget(input);
      return result;
    } catch (error) {
      throw error instanceof ThreadEnded ? deaths.count(input, error) : error;
    } finally {
      clearTimeout(limit);
      signal?.removeEventListener('abort', onStop);
      if (thread.isAlive) idle.push(thread);
    }
  };

  return {
    aggregate: (input, signal) => turns.run(() => work(input, signal)),
    close: async () => {
      closed = true;
      await Promise.all([...threads].map((thread) => thread.end(stopping())));
    },
  };
}

/** How often a round took its worker along. */
class Deaths {
  readonly #counts = new Map<string, number>();

  /** @returns the error to throw. */
  count(input: AggregationInput, { message }: ThreadEnded): TributaryError {
    const key = keyOf(input);
    const count = (this.#counts.get(key) ?? 0) + 1;
    if (count < MOST_DEATHS) {
      this.#counts.set(key, count);
      return new TributaryError('storage_unavailable', `the aggregation worker ended: ${message}`);
    }
    this.#counts.delete(key);
    return new TributaryError(
      'internal',
      `the aggregation ended its worker ${count} times: ${message}`,
    );
  }

  forget(input: AggregationInput): void {
    this.#counts.delete(keyOf(input));
  }
}

function keyOf({ run, round }: AggregationInput): string {
  return `${run.id} ${round.number} ${round.attempt}`;
}

/** The engine leaves the round as it is: the next coordinator takes it up. */
function stopping(): TributaryError {
  return new TributaryError('storage_unavailable', 'the coordinator is stopping');
}

function stopped({ run }: AggregationInput): TributaryError {
  return new TributaryError('run_over', `run "${run.id}" was stopped`);
}

function tooLong(limitMs: number): TributaryError {
  const message = `it took more than ${limitMs} ms; TRIBUTARY_AGGREGATION_LIMIT_MS allows more`;
  return new TributaryError('internal', message);
}
