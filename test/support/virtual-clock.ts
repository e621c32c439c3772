/** The coordinator's clock, standing still until a test moves it. */
import type { Clock } from '../../server/core/ports.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  constructor(now = Date.UTC(2026, 0, 2)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  wakeAt(at: number, callback: () => void): () => void {
    const timer = { at, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** When somebody wants to be woken next; null where everybody sleeps for ever. */
  get next(): number | null {
    const all = [...this.#timers].map(({ at }) => at);
    return all.length > 0 ? Math.min(...all) : null;
  }

  /** Whether somebody wants to be woken at exactly this moment. */
  isAwaited(at: number): boolean {
    return [...this.#timers].some((timer) => timer.at === at);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** Wakes all that fall due on the way, in the order of time. What they do later is not waited for. */
  advanceTo(until: number): void {
    for (let due = this.#due(until); due; due = this.#due(until)) {
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = Math.max(this.#now, until);
  }

  #due(until: number): Timer | undefined {
    return [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
  }
}
