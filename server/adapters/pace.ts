/**
 * When to come back. Whoever is turned away is told a time with chance in it, so that two thousand
 * clients that were turned away together do not return together.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { Rate } from './socket/rate-limit.js';
import { RateLimit } from './socket/rate-limit.js';

/** Uniform in [0, 1). Spreads peers out in time and nothing else, so `Math.random` will do. */
export type Chance = () => number;

/** What is told where nobody knows how long it will take. */
const USUAL_MS = 2_000;
/** Statuses that pass by themselves. */
const PASSING: readonly number[] = [429, 503, 507];
/** Nobody is told to come back at once: the next second has its own arrivals. */
const LEAST_WAIT_MS = 1_000;
/** Nor sent away for longer: a queue of strangers who never return must not keep others out. */
const MOST_WAIT_MS = 60_000;

/** A time from `ms` to twice that: never earlier than what was asked for. */
export function jittered(ms: number, chance: Chance = Math.random): number {
  return Math.round(ms * (1 + chance()));
}

/** The error with a time to come back, where coming back may help and it has none of its own. */
export function withRetryAfter(error: TributaryError, chance?: Chance): TributaryError {
  if (error.retryAfterMs !== undefined || !PASSING.includes(error.status)) return error;
  const { code, message, details, cause } = error;
  return new TributaryError(code, message, details, {
    cause,
    retryAfterMs: jittered(USUAL_MS, chance),
  });
}

/** Seconds for the Retry-After header, which has no smaller unit: not before the time. */
export function retryAfterSeconds(retryAfterMs: number): number {
  return Math.ceil(retryAfterMs / 1000);
}

/** When a client that is sent home with `count` others may come back, where `perSecond` are let in. */
export function returnAfterMs(
  count: number,
  perSecond: number,
  chance: Chance = Math.random,
): number {
  return Math.round(LEAST_WAIT_MS + (chance() * 1000 * count) / perSecond);
}

/**
 * A rate whose refusals keep a queue: each is told a time after the one before, so that those sent
 * away come back spread over the time that serving them takes.
 */
export class Pace {
  readonly #limit: RateLimit;
  /** When the place after the last one that was promised is free. */
  #nextAt = 0;

  constructor(
    private readonly rate: Rate,
    private readonly nowMs: () => number = () => performance.now(),
    private readonly chance: Chance = Math.random,
  ) {
    this.#limit = new RateLimit(rate, nowMs);
  }

  /** Null where there is room, and one place is taken; else milliseconds until there may be. */
  take(): number | null {
    return this.#limit.take() ? null : this.#promise();
  }

  /** Undoes a {@link take} that was null. */
  giveBack(): void {
    this.#limit.giveBack();
  }

  #promise(): number {
    const now = this.nowMs();
    const at = Math.min(Math.max(this.#nextAt, now + LEAST_WAIT_MS), now + MOST_WAIT_MS);
    this.#nextAt = at + 1000 / this.rate.perSecond;
    // By chance up to a tenth more, so that clocks and networks that agree do not make waves.
    return Math.round((at - now) * (1 + this.chance() / 10));
  }
}
