/** Who is connected: one session a client, the newest. */
import type { Socket } from 'socket.io';
import type {
  ClientToServer,
  Hello,
  Progress,
  ServerToClient,
} from '../../../protocol/messages.js';
import type { Presence } from '../../core/ports.js';
import type { Client } from '../../core/records.js';
import type { ClientId } from '../../core/rules/rule.js';
import { sortedClients } from '../order.js';

export type NoServerEvents = Record<string, never>;

/** What a socket carries from its handshake on. */
export interface SocketData {
  client: Client;
  /** The client's process, and the number of the connection among all that it made. */
  origin?: { readonly process: string; readonly connection: number };
  /** From `hello` on. */
  session?: Session;
}

export type ClientSocket = Socket<ClientToServer, ServerToClient, NoServerEvents, SocketData>;

export interface Session {
  readonly presence: Presence;
  /** What operators are shown and the engine does not need. */
  readonly software: Pick<Hello, 'backends' | 'sdkVersion'>;
  readonly socket: ClientSocket;
  /** The client's open assignments, and how far it said last that it is. */
  readonly open: Map<string, Pick<Progress, 'fraction' | 'loss'> | null>;
  /** True once the others were told that this client is there. */
  announced: boolean;
}

/** Whether a client has given this connection up for the one that it has now. */
export function isOutdated({ data: { origin } }: ClientSocket, now: Session | undefined): boolean {
  const newest = now?.socket.data.origin;
  if (!origin || newest?.process !== origin.process) return false;
  return newest.connection > origin.connection;
}

/** The room of all connections of one client, whether they have said hello or not. */
export function clientRoom({ runId, id }: Pick<Client, 'runId' | 'id'>): string {
  return `client:${runId}/${id}`;
}

/** The room of everybody who has said hello for a run. */
export function runRoom(runId: string): string {
  return `run:${runId}`;
}

export class Sessions {
  readonly #runs = new Map<string, Map<ClientId, Session>>();
  /** `present` is asked with every receipt: sorted once a change, not once a question. */
  readonly #sorted = new Map<string, readonly Presence[]>();

  of(runId: string, clientId: ClientId): Session | undefined {
    return this.#runs.get(runId)?.get(clientId);
  }

  /** Clients that are present, of all runs. */
  get size(): number {
    return [...this.#runs.values()].reduce((sum, clients) => sum + clients.size, 0);
  }

  isCurrent(session: Session): boolean {
    const { runId, id } = session.presence;
    return this.of(runId, id) === session;
  }

  /** Makes this the session of its client; returns the one that was. */
  put(session: Session): Session | undefined {
    const { runId, id } = session.presence;
    const clients = this.#runs.get(runId) ?? new Map<ClientId, Session>();
    const replaced = clients.get(id);
    this.#runs.set(runId, clients.set(id, session));
    this.#sorted.delete(runId);
    return replaced;
  }

  /** False where another session has taken its place already. */
  remove(session: Session): boolean {
    const { runId, id } = session.presence;
    const clients = this.#runs.get(runId);
    if (clients?.get(id) !== session) return false;
    clients.delete(id);
    if (clients.size === 0) this.#runs.delete(runId);
    this.#sorted.delete(runId);
    return true;
  }

  /** In client-id order (UTF-16 code units). */
  present(runId: string): readonly Presence[] {
    const known = this.#sorted.get(runId);
    if (known) return known;
    const clients = this.#runs.get(runId);
    if (!clients) return [];
    const sorted = sortedClients([...clients.values()].map(({ presence }) => presence));
    this.#sorted.set(runId, sorted);
    return sorted;
  }
}
