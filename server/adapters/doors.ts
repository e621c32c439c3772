/** Lets peers in: on a server of the coordinator's own, or on one that it shares; and out again. */
import type { RequestListener, Server } from 'node:http';
import type { Log } from '../engine/engine.js';
import type { Closers } from './closers.js';
import { attach, listen, publicHttpServer } from './http-server.js';
import { InFlight } from './in-flight.js';
import type { SocketGateway } from './socket-gateway.js';
import { SOCKET_PATH } from './socket-gateway.js';

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
  /** How long requests under way may take to end. */
  readonly stopMs: number;
  readonly log: Log;
}

/**
 * Takes requests from now on. `closers` is told how to stop.
 *
 * @returns the address on this machine; on a shared server it is known once that listens.
 * @throws TributaryError `bad_request` where the port cannot be had.
 */
export async function openDoors(options: DoorOptions, closers: Closers): Promise<() => string> {
  const { server: shared, app, gateway, log, host, port } = options;
  const server = shared ?? publicHttpServer(log);
  const basePath = basePathOf(options);
  const inFlight = new InFlight();
  const request: RequestListener = (req, res) => {
    inFlight.add(res);
    app(req, res);
  };
  const { handleRequest: socketRequest, handleUpgrade: upgrade } = gateway;
  const doors = { socketPath: SOCKET_PATH, request, socketRequest, upgrade };
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

/** On a server of our own, the path that the public address has; proxies may or may not remove it. */
function basePathOf({ server, basePath, publicUrl }: DoorOptions): string {
  const path = server ? (basePath ?? '') : publicUrl === null ? '' : new URL(publicUrl).pathname;
  return path.replace(/\/+$/, '').replace(/^(?=[^/])/, '/');
}

function urlOf(server: Server, basePath: string): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return `http://localhost${basePath}`;
  const anyHost: Partial<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]' };
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${anyHost[address.address] ?? host}:${address.port}${basePath}`;
}
