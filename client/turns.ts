import { orAborted } from './abort.js';

/**
 * Lets one computation run at a time, in the order in which they were asked for: TF.js has one
 * backend a process, and two trainings at once would each take twice as long and twice the memory.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #blocked = false;

  /** Whether a job runs on that nobody wants any more, and keeps the next ones waiting. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /**
   * Runs the job when those before it have settled. Once the signal is aborted, rejects at once with
   * its reason; a job that runs on in spite of it still keeps the next ones waiting.
   */
  take<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = this.#last.then(() => this.#run(job, signal));
    this.#last = turn.catch(() => undefined);
    return orAborted(turn, signal);
  }

  async #run<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const onAbort = () => (this.#blocked = true);
    signal.addEventListener('abort', onAbort);
    try {
      return await job();
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#blocked = false;
    }
  }

  /** Resolves when nothing that was asked for until now runs any more. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
