/** Threads that aggregate, each started when it is first needed and kept; one that dies is replaced. */
import { TributaryError } from '../../../protocol/errors.js';
import { AtMost } from '../at-most.js';
import type { AggregationThread } from './thread.js';

export interface ThreadPoolOptions {
  readonly start: () => AggregationThread;
  /** Threads that are busy at once. */
  readonly size: number;
  /** How long one piece of work may keep a thread, in milliseconds. */
  readonly limitMs: number;
}

type Use<T> = (thread: AggregationThread) => Promise<T>;

export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #turns: AtMost;
  readonly #threads = new Set<AggregationThread>();
  readonly #idle: AggregationThread[] = [];
  #closed = false;
  /** How many more threads could have helped. */
  #missed = 0;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.#turns = new AtMost(options.size);
  }

  /**
   * Waits for its turn, and for a thread to start where none is idle.
   * @throws TributaryError `internal` where it takes too long, `storage_unavailable` where the pool is
   * closed; what `use` throws.
   */
  run<T>(use: Use<T>): Promise<T> {
    return this.#turns.run(async () => {
      if (this.#closed) throw stopping();
      try {
        return await this.#lend(this.#idleOrNew(), use);
      } finally {
        this.#startMissed();
      }
    });
  }

  /**
   * Waits for nothing: null where nobody is free, or would first have to start. Who could have helped
   * is started when this is over, and there the next time.
   */
  runNow<T>(use: Use<T>): Promise<T | null> | null {
    return this.#turns.runNow(async () => {
      const thread = this.#warm();
      return thread ? this.#lend(thread, use) : null;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#threads].map((thread) => thread.end(stopping())));
  }

  #idleOrNew(): AggregationThread {
    const thread = this.#idle.pop();
    if (!thread) return this.#start();
    return thread.isAlive ? thread : this.#idleOrNew();
  }

  #start(): AggregationThread {
    const thread = this.#options.start();
    this.#threads.add(thread);
    void thread.gone.then(() => this.#threads.delete(thread));
    return thread;
  }

  #warm(): AggregationThread | undefined {
    if (this.#closed) return undefined;
    const at = this.#idle.findIndex(({ isAlive, isWarm }) => isAlive && isWarm);
    if (at >= 0) return this.#idle.splice(at, 1)[0];
    this.#missed += 1;
    return undefined;
  }

  /**
   * Once a round is over: starting takes from the very processors that it needs. Where no thread can
   * be started, rounds do without.
   */
  #startMissed(): void {
    const room = this.#closed ? 0 : this.#options.size - this.#threads.size;
    const count = Math.min(this.#missed, room);
    this.#missed = 0;
    try {
      for (let i = 0; i < count; i++) {
        const thread = this.#start();
        thread.warmUp();
        // The last to be given a round: those that have loaded come first.
        this.#idle.unshift(thread);
      }
    } catch {
      // A limit of the system on threads. It is tried again when one is missed again.
    }
  }

  async #lend<T>(thread: AggregationThread, use: Use<T>): Promise<T> {
    const { limitMs } = this.#options;
    const limit = setTimeout(() => void thread.end(tooLong(limitMs)), limitMs);
    try {
      return await use(thread);
    } finally {
      clearTimeout(limit);
      if (thread.isAlive) this.#idle.push(thread);
    }
  }
}

/** The engine leaves the round as it is: the next coordinator takes it up. */
function stopping(): TributaryError {
  return new TributaryError('storage_unavailable', 'the coordinator is stopping');
}

function tooLong(limitMs: number): TributaryError {
  const message = `it took more than ${limitMs} ms; TRIBUTARY_AGGREGATION_LIMIT_MS allows more`;
  return new TributaryError('internal', message);
}
