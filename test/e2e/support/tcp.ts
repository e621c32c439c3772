/** Bytes over a plain connection: what no well-behaved HTTP client would send. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { failure } from '../../../protocol/http.js';
import type { ErrorBody } from '../../../protocol/errors.js';

export interface Wire {
  readonly socket: Socket;
  send(data: string | Uint8Array): void;
  /** Everything that came until the other side closed. */
  readonly answer: Promise<string>;
}

export function openWire(url: string): Wire {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A reset after the answer is one of the ways in which a server hangs up.
  socket.on('error', () => undefined);
  const answer = new Promise<string>((resolve) => {
    const done = (): void => resolve(Buffer.concat(chunks).toString('latin1'));
    socket.on('end', () => {
      socket.end();
      done();
    });
    socket.on('close', done);
  });
  return { socket, send: (data) => socket.write(data), answer };
}

export function head(lines: Record<string, string | number>, start: string): string {
  const headers = Object.entries({ host: 'localhost', ...lines });
  return [start, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
}

/** Status and error of a raw answer. */
export function parseAnswer(text: string): { status: number; error: ErrorBody } {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  return { status, error: failure.parse(JSON.parse(body)).error };
}
