/** One connection from its handshake to its end: hello, presence, progress, goodbye. */
import { TributaryError } from '../../../protocol/errors.js';
import type { Hello, Progress, Welcome } from '../../../protocol/messages.js';
import { PROTOCOL_VERSION, decline, hello, progress } from '../../../protocol/messages.js';
import type { Client, Presence, Store } from '../../core/ports.js';
import type { Engine, Log } from '../../engine/engine.js';
import { dispatch, handler } from './dispatch.js';
import type { Rate } from './rate-limit.js';
import { RateLimit } from './rate-limit.js';
import type { ClientSocket, Session, Sessions } from './sessions.js';
import { runRoom } from './sessions.js';

/** Is told when clients come and go. */
export interface PresenceListener {
  joined(presence: Presence): void;
  left(client: Client): void;
}

/** What the gateway asks of the engine. */
export type GatewayEngine = Pick<Engine, 'authenticate' | 'openAssignments' | 'decline'>;

export interface ConversationParts {
  readonly store: Pick<Store, 'run' | 'currentRound'>;
  readonly engine: GatewayEngine;
  readonly listeners: readonly PresenceListener[];
  readonly sessions: Sessions;
  readonly draining: () => boolean;
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
    handler(progress, 'progress', (message) => noteProgress(socket, message)),
    handler(decline, 'decline', async ({ assignmentId, reason }) => {
      await parts.engine.decline(socket.data.client, assignmentId, reason);
      socket.data.session?.open.delete(assignmentId);
      return null;
    }),
  ]);
  const allow = rateGate(socket, parts.rate);
  socket.onAny((...message: unknown[]) => {
    void dispatch({ handlers, allow, log: parts.log }, socket, message);
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
  socket.emit('goodbye', why.toBody());
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
  // Before anything is looked up: what is decided from now on reaches this socket, and what was
  // decided before is in the welcome. The other way round, an invitation could fall between.
  const session = enter(socket, message, parts);
  try {
    await socket.join(runRoom(client.runId));
    const welcome = await welcomeFor(client, parts);
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

async function welcomeFor(client: Client, { store, engine }: ConversationParts): Promise<Welcome> {
  const { runId, id: clientId, role } = client;
  const assignments = await engine.openAssignments(client);
  const [run, round] = await Promise.all([store.run(runId), store.currentRound(runId)]);
  if (!run) throw new TributaryError('run_not_found', `there is no run "${runId}"`);
  const version = round?.version ?? round?.baseVersion ?? 0;
  return { runId, clientId, role, status: run.status, version, assignments };
}

function noteProgress(socket: ClientSocket, { assignmentId, ...report }: Progress): Promise<null> {
  const open = socket.data.session?.open;
  if (!open) throw new TributaryError('bad_request', 'progress: say hello first');
  if (!open.has(assignmentId)) {
    throw new TributaryError('assignment_unknown', 'progress: not of an open assignment');
  }
  open.set(assignmentId, report);
  return Promise.resolve(null);
}
