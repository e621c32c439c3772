/** What has been started and must be stopped again, in the opposite order. */
import type { Log } from '../engine/engine.js';

export class Closers {
  readonly #closers: { readonly what: string; readonly close: () => Promise<void> }[] = [];
  #closed: Promise<void> | null = null;

  constructor(private readonly log: Log) {}

  add(what: string, close: () => Promise<void>): void {
    this.#closers.push({ what, close });
  }

  /** Whether the stop has begun. */
  get closing(): boolean {
    return this.#closed !== null;
  }

  /** Stops everything, also where a part fails to stop. Can be called again at any time. */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  async #closeAll(): Promise<void> {
    for (const { what, close } of this.#closers.reverse()) {
      try {
        await close();
      } catch (error) {
        this.log.error({ err: error }, `${what} did not stop cleanly`);
      }
    }
  }
}
