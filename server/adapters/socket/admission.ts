/** Who may connect: pages of allowed origins, with the token of a client. */
import type { Server } from 'socket.io';
import { z } from 'zod';
import { TributaryError, parse } from '../../../protocol/errors.js';
import type { ClientToServer, ServerToClient } from '../../../protocol/messages.js';
import type { Client } from '../../core/ports.js';
import type { Engine, Log } from '../../engine/engine.js';
import type { OriginPolicy } from '../origins.js';
import { originRefused } from '../origins.js';
import type { ClientSocket, NoServerEvents, SocketData } from './sessions.js';

interface AdmissionOptions {
  readonly origins: OriginPolicy;
  readonly isOperator: (token: string) => boolean;
  readonly draining: () => boolean;
  readonly log: Log;
}

/** Sockets of one client at once: a new one beside some that the network has lost, and no more. */
const MAX_SOCKETS_PER_CLIENT = 8;

const handshake = z.object({
  token: z.string({ error: 'no token was sent: connect with auth: { token }' }).max(512),
});

type Middleware = (socket: ClientSocket, next: (error?: Error) => void) => void;

/** Socket.IO middleware. A refusal reaches the client as `connect_error` with the error body as data. */
export function admission(
  io: Server<ClientToServer, ServerToClient, NoServerEvents, SocketData>,
  engine: Pick<Engine, 'authenticate'>,
  options: AdmissionOptions,
): Middleware {
  const admit = async (socket: ClientSocket): Promise<void> => {
    if (options.draining()) {
      throw new TributaryError('shutting_down', 'the coordinator is stopping');
    }
    if (!options.origins.allows(socket.request)) throw originRefused(socket.request);
    const client = await clientOf(socket, engine, options.isOperator);
    const room = `client:${client.runId}/${client.id}`;
    if ((io.sockets.adapter.rooms.get(room)?.size ?? 0) >= MAX_SOCKETS_PER_CLIENT) {
      throw new TributaryError('rate_limited', 'this client has too many connections');
    }
    socket.data.client = client;
    await socket.join(room);
  };
  return (socket, next) => {
    admit(socket).then(
      () => next(),
      (error: unknown) => next(refusal(error, socket, options.log)),
    );
  };
}

async function clientOf(
  socket: ClientSocket,
  engine: Pick<Engine, 'authenticate'>,
  isOperator: (token: string) => boolean,
): Promise<Client> {
  const { token } = parse(handshake, socket.handshake.auth, 'auth', 'unauthorized');
  if (isOperator(token)) {
    throw new TributaryError(
      'forbidden',
      'the operator does not train: connect with a client token',
    );
  }
  const client = await engine.authenticate(token);
  if (!client) throw new TributaryError('unauthorized', 'the token is not known');
  return client;
}

function refusal(error: unknown, socket: ClientSocket, log: Log): Error {
  if (!(error instanceof TributaryError)) {
    log.error({ err: error, socket: socket.id }, 'unexpected failure while connecting');
    const message = `unexpected failure on connection ${socket.id}`;
    return refusal(new TributaryError('internal', message), socket, log);
  }
  return Object.assign(new Error(error.message), { data: error.toBody() });
}
