/**
 * Holds connections to what became of their clients since they were let in: a client that is revoked,
 * or whose token was replaced or has expired, is told so and cut off.
 */
import { TributaryError } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { Change, Clock, Notifications } from '../../core/ports.js';
import type { Client, EnrolledClient } from '../../core/records.js';
import type { Log } from '../../engine/engine.js';
import type { Authenticator } from '../identity.js';
import type { ClientSocket } from './sessions.js';

/** Refusals that say something of the client; any other only says that it could not be looked up. */
const FINAL: readonly ErrorCode[] = [
  'unauthorized',
  'token_expired',
  'forbidden',
  'not_approved',
  'revoked',
];
const RETRY_MS = 2_000;

export interface StandingParts {
  readonly clients: Authenticator<EnrolledClient>;
  readonly notifications: Pick<Notifications, 'onChange'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Connections of one client; of all where nothing is said. */
  readonly sockets: (client?: Pick<Client, 'runId' | 'id'>) => Iterable<ClientSocket>;
  readonly dismiss: (socket: ClientSocket, why: TributaryError) => void;
}

interface Admitted {
  readonly token: string;
  readonly tokenExpiresAt: number | null;
  /** Changes of any client that were known before this one was looked up. */
  readonly changes: number;
  cancel: () => void;
}

export class StandingWatch {
  #changes = 0;
  readonly #admitted = new WeakMap<ClientSocket, Admitted>();
  readonly #stopListening: () => void;

  constructor(private readonly parts: StandingParts) {
    this.#stopListening = parts.notifications.onChange((change) => this.#heed(change));
  }

  /** Looks up the client of a new connection. @throws TributaryError `unauthorized`, and the look's. */
  async clientOf(socket: ClientSocket, token: string): Promise<EnrolledClient> {
    const changes = this.#changes;
    const client = await this.#lookUp(socket, token);
    const { tokenExpiresAt } = client;
    this.#admitted.set(socket, { token, tokenExpiresAt, changes, cancel: () => undefined });
    return client;
  }

  /** From when the connection is there until it ends. */
  watch(socket: ClientSocket): void {
    const admitted = this.#admitted.get(socket);
    if (!admitted) return;
    socket.once('disconnect', () => admitted.cancel());
    // Something changed while this one was not yet among the connections: it may have been its client.
    if (admitted.changes !== this.#changes) void this.#check(socket);
    else this.#checkAt(socket, admitted, admitted.tokenExpiresAt);
  }

  close(): void {
    this.#stopListening();
  }

  #heed(change: Change): void {
    if (change.kind !== 'client' && change.kind !== 'anything') return;
    this.#changes += 1;
    const client = change.kind === 'client' ? { ...change, id: change.clientId } : undefined;
    void this.#checkInTurn([...this.parts.sockets(client)]);
  }

  /** Two thousand at once would queue at the database before everybody else. */
  async #checkInTurn(sockets: readonly ClientSocket[]): Promise<void> {
    for (const socket of sockets) await this.#check(socket);
  }

  async #lookUp(socket: ClientSocket, token: string): Promise<EnrolledClient> {
    const client = await this.parts.clients.authenticate(token, socket.request);
    if (client) return client;
    throw new TributaryError('unauthorized', 'the token is not known, or another took its place');
  }

  /** Looks until there is an answer: a database that is away must not keep a revoked client in. */
  async #check(socket: ClientSocket): Promise<void> {
    const admitted = this.#admitted.get(socket);
    if (!admitted || !socket.connected) return;
    try {
      const { tokenExpiresAt } = await this.#lookUp(socket, admitted.token);
      this.#checkAt(socket, admitted, tokenExpiresAt);
    } catch (error) {
      if (error instanceof TributaryError && FINAL.includes(error.code)) {
        this.parts.dismiss(socket, error);
        return;
      }
      this.parts.log.warn({ err: error }, 'a connected client could not be looked up; again soon');
      this.#checkAt(socket, admitted, this.parts.clock.now() + RETRY_MS);
    }
  }

  #checkAt(socket: ClientSocket, admitted: Admitted, at: number | null): void {
    admitted.cancel();
    if (at === null || !socket.connected) return;
    admitted.cancel = this.parts.clock.wakeAt(at, () => void this.#check(socket));
  }
}
