/**
 * Looks after a request where there are other coordinators to go to. One that is slow is waited for;
 * one that stands still would hold the request until the network is taken for lost.
 */
import { sleep } from './abort.js';
import type { Address } from './address.js';
import { resolvePath } from './address.js';
import type { Environment } from './environment.js';
import { Watchdog } from './watchdog.js';

/** Silent for so long, a coordinator is asked for a sign of life. Milliseconds. */
const QUIET_MS = 5_000;
/**
 * How long it may take. Another one must give its own in half of the time: on a line that is slow, or
 * filled by the upload itself, all of them are slow, and nothing is gained by sending it again.
 */
const SIGN_MS = 5_000;

export class Vigil {
  readonly #over = new AbortController();
  #moves = 0;

  /** @param onGone called at most once: this coordinator gives no sign of life, and another one does. */
  constructor(
    private readonly address: Address,
    private readonly others: readonly Address[],
    private readonly environment: Environment,
    onGone: () => void,
  ) {
    if (others.length > 0) this.#untilGone().then(onGone, () => undefined);
  }

  /** Something of the answer came. */
  moved(): void {
    this.#moves += 1;
  }

  /** The request has ended. */
  stop(): void {
    this.#over.abort();
  }

  /** @throws the reason of {@link stop}. */
  async #untilGone(): Promise<void> {
    for (;;) {
      const before = this.#moves;
      await sleep(QUIET_MS, this.#over.signal, this.environment);
      const isQuiet = (): boolean => this.#moves === before;
      if (isQuiet() && (await this.#standsStill()) && isQuiet()) return;
    }
  }

  async #standsStill(): Promise<boolean> {
    if (await this.#lives(this.address, SIGN_MS)) return false;
    const signs = this.others.map((other) => this.#lives(other, SIGN_MS / 2));
    return (await Promise.all(signs)).includes(true);
  }

  /** Whatever the answer is; only that of a proxy with nothing behind it does not count. */
  async #lives(address: Address, withinMs: number): Promise<boolean> {
    const watchdog = new Watchdog(this.environment, this.#over.signal);
    watchdog.expect(withinMs);
    try {
      const request = { cache: 'no-store', signal: watchdog.signal } as const;
      const response = await this.environment.fetch(resolvePath(address, '/healthz'), request);
      await response.arrayBuffer();
      return response.status < 500;
    } catch {
      return false;
    } finally {
      watchdog.stop();
    }
  }
}
