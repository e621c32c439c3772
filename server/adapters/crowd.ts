/**
 * How many connections one address may have. A few addresses must not take all the files that the
 * process may open; behind one address there may be a hospital, so the limit is wide.
 */
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TributaryError } from '../../protocol/errors.js';
import type { Addresses } from './addresses.js';
import { neighbourhood } from './addresses.js';
import { jittered } from './pace.js';
import type { Request } from './peers.js';
import { peerOf } from './peers.js';

const RETRY_MS = 10_000;

/** Anything that is over at some time: a socket, a response. */
interface Ends {
  once(event: 'close', listener: () => void): unknown;
}

export class Crowd {
  readonly #open = new Map<string, number>();

  constructor(
    private readonly most: number,
    private readonly addresses: Addresses,
  ) {}

  /** Counts a server's connections; one too many is handed to `refuse`. */
  watch(server: Server, refuse: (socket: Socket, why: TributaryError) => void): void {
    server.on('connection', (socket) => {
      const address = socket.remoteAddress ?? '';
      if (this.addresses.isProxy(address) || this.#count(address, socket)) return;
      refuse(socket, this.#tooMany());
    });
  }

  /**
   * Counts what came through a proxy by who is behind it: requests under way, and sockets. `until` ends
   * with the request.
   *
   * @returns why there is no room; null where there is.
   */
  enter(req: Request, until: Ends | Duplex): TributaryError | null {
    if (!this.addresses.isProxy(peerOf(req).address)) return null;
    return this.#count(this.addresses.of(req), until) ? null : this.#tooMany();
  }

  #count(address: string, until: Ends): boolean {
    const who = neighbourhood(address);
    const open = this.#open.get(who) ?? 0;
    if (open >= this.most) return false;
    this.#open.set(who, open + 1);
    until.once('close', () => {
      const left = (this.#open.get(who) ?? 1) - 1;
      if (left > 0) this.#open.set(who, left);
      else this.#open.delete(who);
    });
    return true;
  }

  #tooMany(): TributaryError {
    const message = `${this.most} connections of your address are open already`;
    const retryAfterMs = jittered(RETRY_MS);
    return new TributaryError('rate_limited', message, undefined, { retryAfterMs });
  }
}
