import { abortReason } from './abort.js';
import type { Environment } from './environment.js';

/**
 * How long a request that is under way may go on when its round has closed: its answer may be the
 * receipt of an update that was accepted a moment before. Milliseconds.
 */
const GRACE_MS = 5_000;

/**
 * The life of one assignment or question on this client: first local work, which can be dropped at
 * any time, then the sending of its result, which is brought to an end.
 */
export class Work {
  readonly #wanted = new AbortController();
  readonly #wire = new AbortController();
  #sending = false;
  #hurried = false;
  #cancelGrace: (() => void) | undefined;

  constructor(private readonly environment: Pick<Environment, 'after'>) {}

  /** Aborted when the result is no longer wanted: ends local work and the repeating of requests. */
  get signal(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Ends requests that are under way: at once during local work, after a grace while sending. */
  get wire(): AbortSignal {
    return this.#wire.signal;
  }

  get sending(): boolean {
    return this.#sending;
  }

  /** The sending was stopped, and there is still time to ask what became of it. */
  get mayAsk(): boolean {
    return this.signal.aborted && !this.wire.aborted && !this.#hurried;
  }

  /** @throws the signal's reason where the work was stopped before. */
  beginSending(): void {
    this.signal.throwIfAborted();
    this.#sending = true;
  }

  /** @param hurried Nothing new is to be begun: a tab is being closed, say. */
  stop(why: string, hurried = false): void {
    this.#hurried ||= hurried;
    if (this.signal.aborted) return;
    const reason = abortReason(why);
    this.#wanted.abort(reason);
    if (this.#sending)
      this.#cancelGrace = this.environment.after(GRACE_MS, () => this.#wire.abort(reason));
    else this.#wire.abort(reason);
  }

  /** The work has ended, one way or another: nothing is to be aborted any more. */
  settle(): void {
    this.#cancelGrace?.();
  }
}
