/**
 * Control messages over Socket.IO: who is there, invitations, progress. Tensors never come this way,
 * so the greatest message is small on purpose.
 */
import { Server as HttpServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server } from 'socket.io';
import { TributaryError } from '../../protocol/errors.js';
import type { ClientToServer, Question, ServerToClient } from '../../protocol/messages.js';
import type { Clock, Notifications, Presence, Transport } from '../core/ports.js';
import type { Client } from '../core/records.js';
import type { ClientId } from '../core/rules/rule.js';
import type { ClientStatus, PresenceView } from './http/parts.js';
import type { OriginPolicy } from './origins.js';
import { Pace, returnAfterMs } from './pace.js';
import { admission } from './socket/admission.js';
import type { ConversationParts, GatewayEngine, PresenceListener } from './socket/conversation.js';
import { converse, sayGoodbye } from './socket/conversation.js';
import type { ClientSocket, NoServerEvents, Session, SocketData } from './socket/sessions.js';
import { Sessions, clientRoom, runRoom } from './socket/sessions.js';
import { StandingWatch } from './socket/standing.js';

export interface GatewayOptions extends Omit<
  ConversationParts,
  'engine' | 'listeners' | 'sessions'
> {
  readonly origins: OriginPolicy;
  readonly isOperator: (token: string) => boolean;
  /** Of what became of clients. */
  readonly notifications: Pick<Notifications, 'onChange'>;
  readonly clock: Clock;
  /** Why this coordinator stands by; null while it leads. */
  readonly refusal: () => TributaryError | null;
  /** Sockets that are let in a second. */
  readonly connectionsPerSecond: number;
}

export interface SocketGateway {
  readonly transport: Transport;
  /** Who is there, in client-id order. */
  readonly present: (runId: string) => readonly Presence[];
  /** For operators; null where the client is not there. */
  readonly status: PresenceView['status'];
  /** Puts a question to a client's oracle; lost where the client is not there. */
  readonly ask: (runId: string, clientId: ClientId, question: Question) => void;
  /** Begins to take connections. */
  serve(engine: GatewayEngine, listeners: readonly PresenceListener[]): void;
  readonly handleRequest: (req: IncomingMessage, res: ServerResponse) => void;
  readonly handleUpgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** How many are connected, and how many of them are present. */
  readonly connections: () => { readonly sockets: number; readonly clients: number };
  /** Ends all connections, each with a reason of its own; new ones may come. */
  dismiss(why: () => TributaryError): void;
  /** Says goodbye to everybody and closes the connections. */
  close(): Promise<void>;
}

/** Paths that begin so are the gateway's. */
export const SOCKET_PATH = '/socket.io/';
/** How long a goodbye may take to be sent. */
const GOODBYE_MS = 1_000;
const MAX_MESSAGE_BYTES = 64 * 1024;

type GatewayServer = Server<ClientToServer, ServerToClient, NoServerEvents, SocketData>;

export function createSocketGateway(options: GatewayOptions): SocketGateway {
  const sessions = new Sessions();
  // Socket.IO takes over the server that it is given, its other listeners and its end included. It
  // gets one that never listens, and is handed what is meant for it.
  const inner = new HttpServer();
  const io = gatewayServer(inner, options);
  const transport = socketTransport(io, sessions);
  const ends: (() => void)[] = [];
  return {
    transport,
    present: (runId) => transport.present(runId),
    status: (runId, clientId) => {
      const session = sessions.of(runId, clientId);
      return session ? statusOf(session) : null;
    },
    ask: (runId, clientId, question) => {
      sessions.of(runId, clientId)?.socket.emit('question', question);
    },
    serve: (engine, listeners) => {
      const perSecond = options.connectionsPerSecond;
      const arrivals = new Pace({ burst: perSecond, perSecond });
      const sockets = (client?: Pick<Client, 'runId' | 'id'>) => socketsOf(io, client);
      const standing = new StandingWatch({
        ...options,
        clients: engine,
        sockets,
        dismiss: sayGoodbye,
      });
      ends.push(() => standing.close());
      io.use(admission(io, { ...options, arrivals, standing }));
      io.on('connection', (socket) => {
        const standby = options.refusal();
        if (standby) {
          sayGoodbye(socket, standby);
          return;
        }
        standing.watch(socket);
        converse(socket, { ...options, engine, listeners, sessions });
      });
    },
    connections: () => ({ sockets: io.sockets.sockets.size, clients: sessions.size }),
    dismiss: (why) => {
      for (const socket of [...io.sockets.sockets.values()]) sayGoodbye(socket, why());
    },
    handleRequest: (req, res) => inner.emit('request', req, res),
    handleUpgrade: (req, socket, head) => inner.emit('upgrade', req, socket, head),
    close: async () => {
      for (const end of ends) end();
      const connected = [...io.sockets.sockets.values()];
      const gone = connected.map((socket) => new Promise((end) => socket.conn.once('close', end)));
      for (const socket of connected) {
        const retryAfterMs = returnAfterMs(connected.length, options.connectionsPerSecond);
        sayGoodbye(socket, stopping(retryAfterMs));
      }
      // Closing the server drops what is still to be sent: the goodbyes go out first.
      await Promise.race([Promise.all(gone), sleep(GOODBYE_MS, null, { ref: false })]);
      await io.close();
    },
  };
}

/** Everybody is told another time, so that they reach whoever comes next one by one. */
function stopping(retryAfterMs: number): TributaryError {
  const message = 'the coordinator is stopping';
  return new TributaryError('shutting_down', message, undefined, { retryAfterMs });
}

function* socketsOf(
  { sockets }: GatewayServer,
  client?: Pick<Client, 'runId' | 'id'>,
): Generator<ClientSocket> {
  const ids = client ? sockets.adapter.rooms.get(clientRoom(client)) : sockets.sockets.keys();
  for (const id of ids ?? []) {
    const socket = sockets.sockets.get(id);
    if (socket) yield socket;
  }
}

/** Progress and loss are of what the client was given last. */
function statusOf({ software, open }: Session): ClientStatus {
  const report = [...open.values()].at(-1);
  return { ...software, progress: report?.fraction ?? null, loss: report?.loss ?? null };
}

function gatewayServer(
  inner: HttpServer,
  { origins, helloTimeoutMs }: Pick<GatewayOptions, 'origins' | 'helloTimeoutMs'>,
): GatewayServer {
  return new Server(inner, {
    path: SOCKET_PATH,
    serveClient: false,
    maxHttpBufferSize: MAX_MESSAGE_BYTES,
    // Who is silent for so long is gone, and the round stops to wait for it after its grace.
    pingInterval: 10_000,
    pingTimeout: 20_000,
    // Also for who was refused and stays.
    connectTimeout: helloTimeoutMs,
    cors: (req, callback) => {
      callback(null, {
        origin: origins.crossOrigin && origins.allows(req),
        methods: ['GET', 'POST'],
      });
    },
  });
}

function socketTransport(io: GatewayServer, sessions: Sessions): Transport {
  return {
    present: (runId) => sessions.present(runId),
    assign: (clientId, assignment) => {
      const session = sessions.of(assignment.runId, clientId);
      if (!session) return;
      // A client works on one thing at a time: what is asked now replaces what went before.
      session.open.clear();
      session.open.set(assignment.id, null);
      session.socket.emit('assignment', assignment);
    },
    closed: (runId, clientId, assignmentId, reason) => {
      const session = sessions.of(runId, clientId);
      session?.open.delete(assignmentId);
      session?.socket.emit('closed', { assignmentId, reason });
    },
    weighed: (runId, clientId, message) => {
      const session = sessions.of(runId, clientId);
      session?.open.delete(message.assignmentId);
      session?.socket.emit('weighed', message);
    },
    announce: (runId, state) => {
      io.to(runRoom(runId)).emit('run', state);
    },
  };
}
