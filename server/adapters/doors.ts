/** Lets peers in: on a server of the coordinator's own, or on one that it shares; and out again. */
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import { TributaryError } from '../../protocol/errors.js';
import type { Log } from '../engine/engine.js';
import type { Closers } from './closers.js';
import type { Crowd } from './crowd.js';
import type { Doors } from './http-server.js';
import { attach, listen, publicHttpServer, refuseConnection } from './http-server.js';
import { InFlight } from './in-flight.js';
import type { SocketGateway } from './socket-gateway.js';
import { notePeer } from './peers.js';
import { SOCKET_PATH } from './socket-gateway.js';
import type { TlsFiles } from './tls.js';
import { followFiles, loadTls, warnBeforeExpiry } from './tls.js';

export interface DoorOptions {
  readonly app: RequestListener;
  readonly gateway: SocketGateway;
  /** Called first when the coordinator stops: from then on new requests are refused. */
  readonly onStop: () => void;
  /** Somebody else's server; it is neither told to listen nor closed. */
  readonly server?: Server;
  readonly basePath?: string;
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string | null;
  readonly tls: TlsFiles | null;
  /** From a connection to the end of its first headers. */
  readonly headersTimeoutMs: number;
  /** Connections by address. */
  readonly crowd: Crowd;
  /** How long requests under way may take to end. */
  readonly stopMs: number;
  readonly log: Log;
}

/**
 * Takes requests from now on. `closers` is told how to stop.
 *
 * @returns the address on this machine; on a shared server it is known once that listens.
 * @throws TributaryError `bad_request` where the port cannot be had, or the TLS files not be used.
 */
export async function openDoors(options: DoorOptions, closers: Closers): Promise<() => string> {
  const { server: shared, app, gateway, crowd, host, port, log } = options;
  if (shared && options.tls) {
    const message = 'tls: a server of yours speaks TLS itself, or does not: leave the files out';
    throw new TributaryError('bad_request', message);
  }
  const server = shared ?? ownServer(options, closers);
  const basePath = basePathOf(options);
  const inFlight = new InFlight();
  const counted =
    (serve: RequestListener): RequestListener =>
    (req, res) => {
      if (isRefused(req)) return;
      const why = crowd.enter(req, res);
      if (why) refuseConnection(req.socket, why, false);
      else serve(req, res);
    };
  const doors: Doors = {
    socketPath: SOCKET_PATH,
    request: counted((req, res) => {
      inFlight.add(res);
      app(req, res);
    }),
    socketRequest: counted((req, res) => {
      if (!isLaterPoll(req)) notePeer(req);
      gateway.handleRequest(req, res);
    }),
    upgrade: (req, socket, head) => {
      if (isRefused(req)) return;
      notePeer(req);
      const why = crowd.enter(req, socket);
      if (why) refuseConnection(socket, why, false);
      else gateway.handleUpgrade(req, socket, head);
    },
  };
  const detach = attach(server, doors, { basePath, shared: shared !== undefined });
  closers.add('doors', async () => {
    options.onStop();
    if (!shared) server.close();
    await gateway.close();
    const cut = await inFlight.idle(options.stopMs);
    if (cut > 0) log.warn({ requests: cut }, 'requests cut off: they did not end in time');
    detach();
    if (!shared) server.closeAllConnections();
  });
  if (!shared) await listen(server, host, port);
  return () => urlOf(server, shared ? basePath : '');
}

/**
 * A connection that was one too many has had its answer and is about to be closed. What it sent all
 * the same would be done, and only the answer be lost.
 */
function isRefused({ socket }: IncomingMessage): boolean {
  return !socket.writable;
}

/** A connection by long polling is known by its first request. */
function isLaterPoll({ url = '' }: IncomingMessage): boolean {
  return /[?&]sid=/.test(url);
}

function ownServer(options: DoorOptions, closers: Closers): Server {
  const { tls: files, headersTimeoutMs, crowd, log } = options;
  const tls = files && loadTls(files);
  const clientCerts = files?.clientCerts ?? 'off';
  const server = publicHttpServer({ tls, clientCerts, headersTimeoutMs }, log);
  crowd.watch(server, (socket, why) => refuseConnection(socket, why, tls !== null));
  if (files && tls && server instanceof TlsServer) {
    warnBeforeExpiry(tls, log);
    const stop = followFiles(server, files, log);
    closers.add('certificate', () => {
      stop();
      return Promise.resolve();
    });
  }
  return server;
}

/** On a server of our own, the path that the public address has; proxies may or may not remove it. */
function basePathOf({ server, basePath, publicUrl }: DoorOptions): string {
  const path = server ? (basePath ?? '') : publicUrl === null ? '' : new URL(publicUrl).pathname;
  return path.replace(/\/+$/, '').replace(/^(?=[^/])/, '/');
}

function urlOf(server: Server, basePath: string): string {
  const address = server.address();
  const scheme = server instanceof TlsServer ? 'https' : 'http';
  if (address === null || typeof address === 'string') return `${scheme}://localhost${basePath}`;
  const anyHost: Partial<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]' };
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${anyHost[address.address] ?? host}:${address.port}${basePath}`;
}
