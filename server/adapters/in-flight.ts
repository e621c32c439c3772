/** Requests that are being answered, so that stopping can wait for them. */
import type { ServerResponse } from 'node:http';

export class InFlight {
  readonly #open = new Set<ServerResponse>();
  #whenIdle: (() => void) | null = null;

  add(res: ServerResponse): void {
    this.#open.add(res);
    res.once('close', () => {
      this.#open.delete(res);
      if (this.#open.size === 0) this.#whenIdle?.();
    });
  }

  /** Resolves when nothing is under way any more, at the latest after `timeoutMs`; says how many are left. */
  async idle(timeoutMs: number): Promise<number> {
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#whenIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#open.size;
  }
}
