/** Who may connect: pages of allowed origins, with the token of a client. */
import type { Server } from 'socket.io';
import { z } from 'zod';
import { TributaryError, parse } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { ClientToServer, ServerToClient } from '../../../protocol/messages.js';
import type { Client } from '../../core/records.js';
import type { Log } from '../../engine/engine.js';
import type { OriginPolicy } from '../origins.js';
import { originRefused } from '../origins.js';
import type { Pace } from '../pace.js';
import { errorBodyOf } from './errors.js';
import type { ClientSocket, NoServerEvents, SocketData } from './sessions.js';
import { clientRoom } from './sessions.js';
import type { StandingWatch } from './standing.js';

interface AdmissionOptions {
  readonly origins: OriginPolicy;
  readonly isOperator: (token: string) => boolean;
  readonly draining: () => boolean;
  /** Why this coordinator stands by; null while it leads. */
  readonly refusal: () => TributaryError | null;
  /** How many are let in a second. */
  readonly arrivals: Pace;
  readonly standing: StandingWatch;
  /** Counts those who are not let in. */
  readonly refused: (code: ErrorCode) => void;
  readonly log: Log;
}

/** Sockets of one client at once: a new one beside some that the network has lost, and no more. */
const MAX_SOCKETS_PER_CLIENT = 8;

/** From SDKs that say so; others are taken as they come. */
const origin = z.object({ process: z.string().max(64), connection: z.int().nonnegative() });

const handshake = z.object({
  token: z.string({ error: 'no token was sent: connect with auth: { token }' }).max(512),
});

type Middleware = (socket: ClientSocket, next: (error?: Error) => void) => void;

/** Socket.IO middleware. A refusal reaches the client as `connect_error` with the error body as data. */
export function admission(
  io: Server<ClientToServer, ServerToClient, NoServerEvents, SocketData>,
  options: AdmissionOptions,
): Middleware {
  const admit = async (socket: ClientSocket): Promise<void> => {
    if (options.draining()) {
      throw new TributaryError('shutting_down', 'the coordinator is stopping');
    }
    const standby = options.refusal();
    if (standby) throw standby;
    if (!options.origins.allows(socket.request)) throw originRefused(socket.request);
    // Before anything is looked up: a crowd that comes back must not queue at the database.
    letIn(options.arrivals);
    const { runId, id, role } = await clientOf(socket, options);
    const room = clientRoom({ runId, id });
    if ((io.sockets.adapter.rooms.get(room)?.size ?? 0) >= MAX_SOCKETS_PER_CLIENT) {
      throw new TributaryError('rate_limited', 'this client has too many connections');
    }
    socket.data.client = { runId, id, role };
    const told = origin.safeParse((socket.handshake.auth as { origin?: unknown }).origin);
    if (told.success) socket.data.origin = told.data;
    await socket.join(room);
  };
  return (socket, next) => {
    admit(socket).then(
      () => next(),
      (error: unknown) => next(refusal(error, socket, options)),
    );
  };
}

/** @throws TributaryError `busy`: all come back in turn. */
function letIn(arrivals: Pace): void {
  const retryAfterMs = arrivals.take();
  if (retryAfterMs === null) return;
  const message = 'more clients connect at the moment than are let in';
  throw new TributaryError('busy', message, undefined, { retryAfterMs });
}

async function clientOf(
  socket: ClientSocket,
  { standing, isOperator }: Pick<AdmissionOptions, 'standing' | 'isOperator'>,
): Promise<Client> {
  const { token } = parse(handshake, socket.handshake.auth, 'auth', 'unauthorized');
  if (isOperator(token)) {
    throw new TributaryError('forbidden', 'operators do not train: connect with a client token');
  }
  return standing.clientOf(socket, token);
}

function refusal(
  error: unknown,
  socket: ClientSocket,
  options: Pick<AdmissionOptions, 'log' | 'refused'>,
): Error {
  const data = errorBodyOf(error, socket, options.log);
  options.refused(data.code);
  return Object.assign(new Error(data.message), { data });
}
