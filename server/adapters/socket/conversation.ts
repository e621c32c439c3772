/** One connection from its handshake to its end: hello, presence, progress, goodbye. */
import { TributaryError } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { Hello, Welcome } from '../../../protocol/messages.js';
import {
  PROTOCOL_VERSION,
  decline,
  heartbeat,
  hello,
  progress,
} from '../../../protocol/messages.js';
import type { Presence } from '../../core/ports.js';
import type { Client, EnrolledClient } from '../../core/records.js';
import type { Engine, Log } from '../../engine/engine.js';
import type { Authenticator } from '../identity.js';
import { withRetryAfter } from '../pace.js';
import { dispatch, handler } from './dispatch.js';
import type { Rate } from './rate-limit.js';
import { RateLimit } from './rate-limit.js';
import type { ClientSocket, Session, Sessions } from './sessions.js';
import { isOutdated, runRoom } from './sessions.js';

/** Is told when clients come and go. */
export interface PresenceListener {
  joined(presence: Presence): void;
  left(client: Client): void;
}

/** What the gateway asks of the engine. */
export type GatewayEngine = Authenticator<EnrolledClient> &
  Pick<Engine, 'welcome' | 'decline' | 'heard'>;

export interface ConversationParts {
  readonly engine: GatewayEngine;
  readonly listeners: readonly PresenceListener[];
  readonly sessions: Sessions;
  readonly draining: () => boolean;
  /** Counts what is refused. */
  readonly refused: (code: ErrorCode) => void;
  readonly log: Log;
  /** Whoever has not said hello by then is disconnected. */
  readonly helloTimeoutMs: number;
  readonly rate: Rate;
}

/** So many messages over the rate are refused one by one; then the connection is ended. */
const PATIENCE = 200;

export function converse(socket: ClientSocket, parts: ConversationParts): void {
  const handlers = new Map([
    handler(hello, 'hello', (message) => greet(socket, message, parts)),
    handler(progress, 'progress', ({ assignmentId, ...report }) => {
      openWork(socket, assignmentId, 'progress').set(assignmentId, report);
      parts.engine.heard(socket.data.client, assignmentId);
      return Promise.resolve(null);
    }),
    handler(heartbeat, 'heartbeat', ({ assignmentId }) => {
      openWork(socket, assignmentId, 'heartbeat');
      parts.engine.heard(socket.data.client, assignmentId);
      return Promise.resolve(null);
    }),
    handler(decline, 'decline', async ({ assignmentId, reason }) => {
      await parts.engine.decline(socket.data.client, assignmentId, reason);
      socket.data.session?.open.delete(assignmentId);
      return null;
    }),
  ]);
  const allow = rateGate(socket, parts.rate);
  socket.onAny((...message: unknown[]) => {
    void dispatch({ ...parts, handlers, allow }, socket, message);
  });
  const timer = setTimeout(() => {
    if (socket.data.session) return;
    sayGoodbye(socket, new TributaryError('too_slow', 'hello did not come in time'));
  }, parts.helloTimeoutMs);
  socket.on('disconnect', () => {
    clearTimeout(timer);
    if (socket.data.session) leave(socket.data.session, parts);
  });
}

/** Tells a client why, and ends its connection. */
export function sayGoodbye(socket: ClientSocket, why: TributaryError): void {
  if (!socket.connected) return;
  socket.emit('goodbye', withRetryAfter(why).toBody());
  socket.disconnect(true);
}

function rateGate(socket: ClientSocket, rate: Rate): () => void {
  const limit = new RateLimit(rate);
  let refused = 0;
  return () => {
    if (limit.take()) return;
    const error = new TributaryError('rate_limited', 'too many messages on this connection');
    if (++refused > PATIENCE) sayGoodbye(socket, error);
    throw error;
  };
}

/** From here on the client is present, and what is open for it is told once more. */
async function greet(
  socket: ClientSocket,
  message: Hello,
  parts: ConversationParts,
): Promise<Welcome> {
  if (message.protocolVersion !== PROTOCOL_VERSION) {
    const text = `hello: protocol ${message.protocolVersion} is not served here; ${PROTOCOL_VERSION} is`;
    throw new TributaryError('protocol_version', text, { served: [PROTOCOL_VERSION] });
  }
  const { client } = socket.data;
  // A hello that came late: to let it in would send away the connection that the client has now.
  if (isOutdated(socket, parts.sessions.of(client.runId, client.id))) {
    throw new TributaryError('replaced', `client "${client.id}" has connected again meanwhile`);
  }
  // Before anything is looked up: what is decided from now on reaches this socket, and what was
  // decided before is in the welcome. The other way round, an invitation could fall between.
  const session = enter(socket, message, parts);
  try {
    await socket.join(runRoom(client.runId));
    const { runId, id: clientId, role } = client;
    const welcome = { runId, clientId, role, ...(await parts.engine.welcome(client)) };
    for (const { id } of welcome.assignments) session.open.set(id, session.open.get(id) ?? null);
    // Unless the client has gone meanwhile, or has connected again.
    if (parts.sessions.isCurrent(session)) {
      session.announced = true;
      for (const listener of parts.listeners) listener.joined(session.presence);
    }
    return welcome;
  } catch (error) {
    leave(session, parts);
    throw error;
  }
}

/** Makes this the client's connection. An older one of the same client is told, and ended. */
function enter(socket: ClientSocket, message: Hello, { sessions }: ConversationParts): Session {
  const { client } = socket.data;
  const { trains, evaluates, oracleBatches, backends, sdkVersion } = message;
  const presence: Presence = { ...client, trains, evaluates, oracleBatches };
  const software = { backends, sdkVersion };
  const session: Session = { presence, software, socket, open: new Map(), announced: false };
  const replaced = sessions.put(session);
  socket.data.session = session;
  if (replaced) {
    // Whoever was told that the client is there is not told that it left: it did not.
    session.announced = replaced.announced;
    if (replaced.socket !== socket) {
      const text = `client "${client.id}" has connected again, from somewhere else`;
      sayGoodbye(replaced.socket, new TributaryError('replaced', text));
    }
  }
  return session;
}

function leave(session: Session, { sessions, listeners, draining }: ConversationParts): void {
  delete session.socket.data.session;
  // When the coordinator stops, its clients have not left: they come back to the next one.
  if (!sessions.remove(session) || !session.announced || draining()) return;
  const { runId, id, role } = session.presence;
  for (const listener of listeners) listener.left({ runId, id, role });
}

/**
 * The open work of a client that says something about this assignment.
 *
 * @throws TributaryError `assignment_unknown` where it is not open (any more): the client stops then,
 * though it may have missed that its round closed.
 */
function openWork(socket: ClientSocket, assignmentId: string, what: string): Session['open'] {
  const open = socket.data.session?.open;
  if (!open) throw new TributaryError('bad_request', `${what}: say hello first`);
  if (open.has(assignmentId)) return open;
  throw new TributaryError('assignment_unknown', `${what}: not of an open assignment`);
}
