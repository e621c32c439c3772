/**
 * How often an address may call without a token that somebody has: to enrol itself, or with tokens that
 * nobody has. Each such call looks at the database. Tokens have 256 random bits: it is not the guess
 * that is feared, but the load.
 */
import { createHash } from 'node:crypto';
import { TributaryError } from '../../protocol/errors.js';
import type { Addresses } from './addresses.js';
import { neighbourhood } from './addresses.js';
import { Pace } from './pace.js';
import type { Request } from './peers.js';
import type { Rate } from './socket/rate-limit.js';

/** Addresses and tokens that are remembered; the ones longest unseen are forgotten first. */
const MOST_REMEMBERED = 20_000;

export class Strangers {
  readonly #rates = new Map<string, Pace>();
  /** Hashes of tokens that were good: their clients are not held up by a neighbour who guesses. */
  readonly #known = new Set<string>();

  constructor(
    private readonly rate: Rate,
    private readonly addresses: Addresses,
    private readonly nowMs?: () => number,
  ) {}

  /** Counts a call that needs no token. @throws TributaryError `rate_limited`. */
  call(req: Request): void {
    this.#take(req);
  }

  /**
   * Looks a token up. One that belongs to nobody counts as a stranger's call.
   *
   * @throws TributaryError `rate_limited`, without looking, where the address has called too often;
   * whatever `look` throws.
   */
  async lookUp<T>(req: Request, token: string, look: () => Promise<T | null>): Promise<T | null> {
    const hash = createHash('sha256').update(token).digest('base64');
    // Counted before the look, and given back after it: a thousand guesses at once are a thousand.
    const rate = this.#known.has(hash) ? null : this.#take(req);
    let found: T | null = null;
    let failed = true;
    try {
      found = await look();
      failed = false;
    } finally {
      if (found !== null || failed) rate?.giveBack();
    }
    this.#known.delete(hash);
    if (found !== null) remember(this.#known, hash);
    return found;
  }

  #take(req: Request): Pace {
    const address = neighbourhood(this.addresses.of(req));
    const rate = this.#rates.get(address) ?? new Pace(this.rate, this.nowMs);
    this.#rates.delete(address);
    this.#rates.set(address, rate);
    if (this.#rates.size > MOST_REMEMBERED) this.#rates.delete(first(this.#rates.keys()));
    const retryAfterMs = rate.take();
    if (retryAfterMs === null) return rate;
    const message = 'too many calls of your address without a valid token';
    throw new TributaryError('rate_limited', message, undefined, { retryAfterMs });
  }
}

function remember(known: Set<string>, hash: string): void {
  known.add(hash);
  if (known.size > MOST_REMEMBERED) known.delete(first(known.values()));
}

/** The oldest entry, as maps and sets keep their order. */
function first(keys: Iterable<string>): string {
  for (const key of keys) return key;
  return '';
}
