/**
 * The TCP side: limits of a public HTTP server, what is not HTTP at all, and which requests are whose
 * where the coordinator shares a server.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { TributaryError } from '../../protocol/errors.js';
import type { ErrorCode } from '../../protocol/errors.js';
import type { Log } from '../engine/engine.js';

/** Files that the process needs beside its connections: database, blobs, spool. */
const SPARE_FILES = 200;
const CLOSE_AFTER_MS = 1_000;

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

/** A server with limits for peers that are slow, greedy or no HTTP peers at all. */
export function publicHttpServer(log: Log): Server {
  const server = createServer({
    headersTimeout: 20_000,
    // A great update over a slow line takes longer than any fixed time: bodies are timed as they
    // arrive (http/body.ts).
    requestTimeout: 0,
    // Longer than the minute for which proxies keep idle connections, so that they close first.
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 5_000,
  });
  const limit = connectionLimit();
  if (limit !== null) server.maxConnections = limit;
  server.on('drop', () => log.warn({ limit }, 'connection dropped: too many are open'));
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
    socket.end(rawAnswer(error));
    setTimeout(() => socket.destroy(), CLOSE_AFTER_MS).unref();
  });
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
  const body = JSON.stringify({ error: new TributaryError(errorCode, message).toBody() });
  return [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

/**
 * Connections that leave files over for everything else: past the limit of open files not only
 * accepting fails, but anything. null where the limit is not known.
 */
function connectionLimit(): number | null {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const files = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
    return Number.isInteger(files) ? Math.max(files - SPARE_FILES, Math.ceil(files / 2)) : null;
  } catch {
    return null; // not Linux
  }
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
