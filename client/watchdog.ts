import { abortReason } from './abort.js';
import type { Environment } from './environment.js';

/**
 * A signal that is aborted with its parent, or when what was expected does not happen in time: a
 * network that is gone without a word would otherwise hold a request for many minutes.
 */
export class Watchdog {
  readonly #controller = new AbortController();
  readonly #follow = () => this.#controller.abort(this.parent.reason);
  #cancel: (() => void) | undefined;

  constructor(
    private readonly environment: Pick<Environment, 'after'>,
    private readonly parent: AbortSignal,
  ) {
    if (parent.aborted) this.#follow();
    else parent.addEventListener('abort', this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something must happen within so many milliseconds; replaces what was expected before. */
  expect(ms: number): void {
    this.#cancel?.();
    this.#cancel = this.environment.after(ms, () =>
      this.giveUp(`nothing moved for ${Math.round(ms / 1000)} s`),
    );
  }

  /** Aborts the signal: what was expected will not happen. */
  giveUp(why: string): void {
    this.#controller.abort(abortReason(why));
  }

  stop(): void {
    this.#cancel?.();
    this.parent.removeEventListener('abort', this.#follow);
  }
}
