import { orAborted } from './abort.js';

interface Entry<T> {
  readonly value: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  settled: boolean;
}

/**
 * Loads each key once for all who ask, and keeps the values that were used last. A load that failed
 * is forgotten; one that nobody waits for any more is aborted.
 */
export class SharedCache<T> {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry<T>>();

  constructor(private readonly capacity: number) {}

  /** @throws what `load` throws, or the signal's reason. */
  async get(
    key: string,
    load: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    const entry = this.#entries.get(key) ?? this.#begin(key, load);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.waiting++;
    try {
      return await orAborted(entry.value, signal);
    } finally {
      entry.waiting--;
      if (entry.waiting === 0 && !entry.settled) {
        this.#forget(key, entry);
        entry.controller.abort(signal.reason);
      }
      this.#evict();
    }
  }

  #begin(key: string, load: (signal: AbortSignal) => Promise<T>): Entry<T> {
    const controller = new AbortController();
    const value = load(controller.signal);
    const entry: Entry<T> = { value, controller, waiting: 0, settled: false };
    value.then(
      () => (entry.settled = true),
      () => {
        entry.settled = true;
        this.#forget(key, entry);
      },
    );
    return entry;
  }

  #forget(key: string, entry: Entry<T>): void {
    // Another load of the same key may have begun since.
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  #evict(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.capacity) return;
      if (entry.settled) this.#entries.delete(key);
    }
  }
}
