/**
 * The coordinators that serve one run: one of them leads it, the others stand by. Socket and requests
 * go to the same one, and to the next, in turn, where it does not serve.
 */
import { TributaryError } from '../protocol/errors.js';
import type { Address } from './address.js';
import { parseAddress } from './address.js';

/** No word of a coordinator keeps a client away for longer. Milliseconds. */
const LONGEST_ASKED_MS = 3_600_000;
/** Nor, where there are others, from these: one of them must not hold up what the rest would serve. */
const LONGEST_OF_SEVERAL_MS = 60_000;

export class Coordinators {
  readonly #addresses: readonly Address[];
  #current = 0;

  /** @throws TributaryError `bad_request` for none, or for what is no http(s) address. */
  constructor(urls: string | readonly string[]) {
    this.#addresses = (typeof urls === 'string' ? [urls] : urls).map((url) => parseAddress(url));
    if (this.#addresses.length === 0)
      throw new TributaryError('bad_request', 'url: name at least one coordinator');
  }

  get size(): number {
    return this.#addresses.length;
  }

  get current(): Address {
    return this.#addresses[this.#current];
  }

  /** Where a request may go that this one does not answer. */
  others(address: Address): readonly Address[] {
    return this.#addresses.filter((other) => other !== address);
  }

  /** How much is given of the time that one of them wants to be left alone. Milliseconds. */
  granted(askedMs: number): number {
    return Math.min(askedMs, this.size > 1 ? LONGEST_OF_SEVERAL_MS : LONGEST_ASKED_MS);
  }

  /**
   * This one does not serve at the moment. Nothing changes where another request has gone on before:
   * two that fail together would otherwise come back to where they failed.
   */
  leave(address: Address): void {
    if (this.current === address) this.#current = (this.#current + 1) % this.size;
  }

  /** The socket is connected here: requests go here, too. */
  settle(address: Address): void {
    this.#current = this.#addresses.indexOf(address);
  }
}
