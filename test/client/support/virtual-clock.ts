import type { Environment } from '../../../client/environment.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that stands still until a test moves it. */
export class VirtualClock {
  now = 0;
  readonly #timers = new Set<Timer>();

  readonly after: Environment['after'] = (ms, callback) => {
    const timer = { at: this.now + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Runs what falls due on the way, in the order of time. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (let next = this.#due(until); next; next = this.#due(until)) {
      this.#timers.delete(next);
      this.now = next.at;
      next.callback();
    }
    this.now = until;
  }

  get pending(): number {
    return this.#timers.size;
  }

  #due(until: number): Timer | undefined {
    return [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
  }
}

/** The real network, virtual time, and jitter in the middle of its range. */
export function virtualEnvironment(clock: VirtualClock): Environment {
  return {
    fetch: (url, init) => globalThis.fetch(url, init),
    random: () => 0.5,
    after: clock.after,
  };
}
