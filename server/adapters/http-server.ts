/**
 * The TCP side: limits of a public HTTP server, what is not HTTP at all, and which requests are whose
 * where the coordinator shares a server.
 */
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TributaryError } from '../../protocol/errors.js';
import type { ErrorCode } from '../../protocol/errors.js';
import type { Log } from '../engine/engine.js';
import { fileBudget } from './file-budget.js';
import { retryAfterSeconds } from './pace.js';
import type { ClientCerts, TlsMaterial } from './tls.js';

const CLOSE_AFTER_MS = 1_000;
/** A flood of connections must not become a flood of log lines. */
const DROPS_TOLD_EVERY_MS = 10_000;

export interface Doors {
  readonly request: RequestListener;
  /** Paths that begin so are the socket's. */
  readonly socketPath: string;
  readonly socketRequest: RequestListener;
  readonly upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface AttachOptions {
  /** Path prefix, without a slash at its end: `` or `/fl`. */
  readonly basePath: string;
  /** True where requests without the prefix are somebody else's, false where they are ours too. */
  readonly shared: boolean;
}

export interface ServerOptions {
  /** null: plain HTTP. */
  readonly tls: TlsMaterial | null;
  readonly clientCerts: ClientCerts;
  /** From the connection to the end of the headers; whoever says nothing for so long is hung up on. */
  readonly headersTimeoutMs: number;
}

/** A server with limits for peers that are slow, greedy or no HTTP peers at all. */
export function publicHttpServer(options: ServerOptions, log: Log): Server {
  const { tls, clientCerts, headersTimeoutMs } = options;
  const limits = {
    headersTimeout: headersTimeoutMs,
    // A great update over a slow line takes longer than any fixed time: bodies are timed as they
    // arrive (http/body.ts).
    requestTimeout: 0,
    // Longer than the minute for which proxies keep idle connections, so that they close first.
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs),
  };
  const server = tls
    ? createTlsServer({
        ...limits,
        ...tls,
        handshakeTimeout: headersTimeoutMs,
        requestCert: clientCerts !== 'off',
        // Operators have none, and sites are to be told what is wrong with theirs: it is checked with
        // their token (client-certificate.ts), not in the handshake.
        rejectUnauthorized: false,
      })
    : createServer(limits);
  const { connections: limit } = fileBudget();
  if (Number.isFinite(limit)) server.maxConnections = limit;
  server.on(
    'drop',
    onceIn(DROPS_TOLD_EVERY_MS, () => {
      log.warn({ limit }, 'connections are dropped: too many are open');
    }),
  );
  answerGarbage(server);
  return server;
}

/**
 * Puts the coordinator behind a server. Requests that are not ours go to the listeners that were there
 * before.
 *
 * @returns takes it away again.
 */
export function attach(server: Server, doors: Doors, options: AttachOptions): () => void {
  const others = server.listeners('request') as RequestListener[];
  const onRequest: RequestListener = (req, res) => {
    const url = ownUrl(req, options);
    if (url === null) {
      for (const other of others) other.call(server, req, res);
      return;
    }
    req.url = url;
    if (url.startsWith(doors.socketPath)) doors.socketRequest(req, res);
    else doors.request(req, res);
  };
  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const url = ownUrl(req, options);
    if (url?.startsWith(doors.socketPath)) {
      req.url = url;
      doors.upgrade(req, socket, head);
    } else if (!options.shared) socket.destroy();
  };
  server.removeAllListeners('request').on('request', onRequest).on('upgrade', onUpgrade);
  return () => {
    server.off('request', onRequest).off('upgrade', onUpgrade);
    for (const other of others) server.on('request', other);
  };
}

/** The address without our prefix; null where it is not ours. */
function ownUrl(req: IncomingMessage, { basePath, shared }: AttachOptions): string | null {
  const url = req.url ?? '/';
  if (url === basePath || url.startsWith(`${basePath}?`)) return `/${url.slice(basePath.length)}`;
  if (url.startsWith(`${basePath}/`)) return url.slice(basePath.length);
  // Some proxies take the prefix away before they pass a request on, and some do not.
  return shared ? null : url;
}

/** Answers what is no HTTP with an error in our own form where it may still be read, and hangs up. */
function answerGarbage(server: Server): void {
  const answering = new WeakMap<Duplex, ServerResponse>();
  const refused = new WeakSet<Duplex>();
  server.on('request', (req, res) => answering.set(req.socket, res));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (refused.has(socket)) return;
    refused.add(socket);
    const response = answering.get(socket);
    const inMidAnswer = response?.headersSent === true && !response.writableFinished;
    if (inMidAnswer || !socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    hangUp(socket, rawAnswer(error));
  });
}

function hangUp(socket: Duplex, lastWords: string): void {
  socket.end(lastWords);
  setTimeout(() => socket.destroy(), CLOSE_AFTER_MS).unref();
}

/** Refuses a whole connection, before or beside HTTP: with the reason where it can be understood. */
export function refuseConnection(
  socket: Duplex | Socket,
  why: TributaryError,
  isTls: boolean,
): void {
  if (isTls) {
    socket.destroy(); // there was no handshake, so the peer could not read a word
    return;
  }
  const retryAfter = retryAfterSeconds(why.retryAfterMs ?? 0);
  hangUp(socket, answerText(`${why.status} Refused`, why, [`retry-after: ${retryAfter}`]));
}

const faults: Partial<Record<string, readonly [ErrorCode, string, string]>> = {
  HPE_HEADER_OVERFLOW: ['bad_request', 'the headers are too long', '431 Headers Too Large'],
  HPE_INVALID_EOF_STATE: ['truncated', 'the connection ended in mid-request', '400 Bad Request'],
  ERR_HTTP_REQUEST_TIMEOUT: ['too_slow', 'the headers did not come in time', '408 Timeout'],
};

function rawAnswer({ code = '' }: NodeJS.ErrnoException): string {
  const [errorCode, message, status] = faults[code] ?? [
    'bad_request',
    'this is not HTTP',
    '400 Bad Request',
  ];
  return answerText(status, new TributaryError(errorCode, message));
}

function answerText(
  status: string,
  error: TributaryError,
  headers: readonly string[] = [],
): string {
  const body = JSON.stringify({ error: error.toBody() });
  return [
    `HTTP/1.1 ${status}`,
    ...headers,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

function onceIn(ms: number, tell: () => void): () => void {
  let toldAt = -Infinity;
  return () => {
    const now = performance.now();
    if (now - toldAt < ms) return;
    toldAt = now;
    tell();
  };
}

/**
 * Listens, and says on which port.
 *
 * @throws TributaryError `bad_request`, naming the setting that would have to change.
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => reject(cannotListen(error, host, port));
    server.once('error', refuse);
    server.listen(port, host, () => {
      server.off('error', refuse);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): TributaryError {
  const reasons: Partial<Record<string, string>> = {
    EADDRINUSE: `TRIBUTARY_PORT: ${port} is taken on ${host}: choose another, or 0 for any free one`,
    EACCES: `TRIBUTARY_PORT: this account may not use port ${port}: choose one from 1024 on`,
    EADDRNOTAVAIL: `TRIBUTARY_HOST: ${host} is no address of this machine`,
    ENOTFOUND: `TRIBUTARY_HOST: ${host} is not known`,
  };
  const message = reasons[error.code ?? ''] ?? `cannot listen on ${host}:${port}: ${error.message}`;
  return new TributaryError('bad_request', message, undefined, { cause: error });
}
