/** How many messages one connection may send. */

export interface Rate {
  /** Messages at once. */
  readonly burst: number;
  readonly perSecond: number;
}

/** A token bucket: `take` is false where the sender is too fast. */
export class RateLimit {
  #tokens: number;
  #at: number;

  constructor(
    private readonly rate: Rate,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#tokens = rate.burst;
    this.#at = nowMs();
  }

  take(): boolean {
    this.#earn();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Undoes a {@link take}. */
  giveBack(): void {
    this.#tokens = Math.min(this.rate.burst, this.#tokens + 1);
  }

  #earn(): void {
    const now = this.nowMs();
    const earned = ((now - this.#at) / 1000) * this.rate.perSecond;
    this.#at = now;
    this.#tokens = Math.min(this.rate.burst, this.#tokens + earned);
  }
}
