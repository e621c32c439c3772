/** Aggregation in worker threads: the coordinator goes on answering while a round is folded. */
import { TributaryError } from '../../../protocol/errors.js';
import type { OracleProvider } from '../../core/ports.js';
import type { AggregationInput, AggregationResult } from '../../engine/aggregation.js';
import type { Aggregator } from '../../engine/aggregator.js';
import type { Piece } from '../../engine/pieces.js';
import { ThreadPool } from './pool.js';
import type { WorkerSettings } from './services.js';
import { AggregationThread, ThreadEnded } from './thread.js';

export interface WorkerAggregatorOptions extends WorkerSettings {
  /** Oracles that a worker cannot be itself: questions to clients. */
  readonly oracles: OracleProvider;
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
 * A round a thread; a large one is shared with those that have nothing else to do.
 *
 * Aggregating throws TributaryError `storage_unavailable` where the worker died or the aggregator was
 * closed, `internal` where it died over the same round again and again, or took too long, and
 * `run_over` where the signal said that nobody waits for it.
 */
export function workerAggregator(options: WorkerAggregatorOptions): Aggregator {
  const { blobs, oracles, size, limitMs, entry = workerEntry } = options;
  const deaths = new Deaths();

  const work = async (
    thread: AggregationThread,
    input: AggregationInput,
    signal?: AbortSignal,
  ): Promise<AggregationResult> => {
    if (signal?.aborted) throw stopped(input);
    const onStop = (): void => void thread.end(stopped(input));
    signal?.addEventListener('abort', onStop);
    try {
      const result = await deaths.counted(input, thread.aggregate(input));
      deaths.forget(input);
      return result;
    } finally {
      signal?.removeEventListener('abort', onStop);
    }
  };

  /** A piece of a round that another thread of the pool aggregates. */
  const offer = async (piece: Piece, input: AggregationInput): Promise<boolean> => {
    const help = async (thread: AggregationThread): Promise<true> => {
      await deaths.ofHelper(input, thread.help(piece));
      return true;
    };
    return (await pool.runNow(help)) ?? false;
  };

  const start = (): AggregationThread =>
    new AggregationThread(entry, { blobs, size }, { oracles, offer });
  const pool = new ThreadPool({ start, size, limitMs });
  return {
    aggregate: (input, signal) => pool.run((thread) => work(thread, input, signal)),
    close: () => pool.close(),
  };
}

/** How often a round took its worker along. */
class Deaths {
  readonly #counts = new Map<string, number>();

  /** Rounds under way that a helper died over: one attempt, however many died in it. */
  readonly #helpers = new WeakSet<AggregationInput>();

  /** @throws TributaryError where a worker died over it; what the work throws. */
  async counted<T>(input: AggregationInput, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      // One of its helpers may have died, and the run been stopped before that was heard.
      if (error instanceof ThreadEnded || (isAway(error) && this.#helpers.has(input))) {
        throw this.#count(input, error.message);
      }
      throw error;
    }
  }

  /** @throws TributaryError `storage_unavailable` where the helper died; what the work throws. */
  async ofHelper(input: AggregationInput, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof ThreadEnded)) throw error;
      this.#helpers.add(input);
      throw new TributaryError('storage_unavailable', error.message);
    }
  }

  #count(input: AggregationInput, message: string): TributaryError {
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

function isAway(error: unknown): error is TributaryError {
  return error instanceof TributaryError && error.code === 'storage_unavailable';
}

function keyOf({ run, round }: AggregationInput): string {
  return `${run.id} ${round.number} ${round.attempt}`;
}

function stopped({ run }: AggregationInput): TributaryError {
  return new TributaryError('run_over', `run "${run.id}" was stopped`);
}
