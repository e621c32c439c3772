/** A client without the SDK's care: it sends what a test says, byte for byte. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { io } from 'socket.io-client';
import { failure, SHA256_HEADER, uploadAnswer } from '../../protocol/http.js';
import type { Assignment, Welcome } from '../../protocol/messages.js';
import { assignment, PROTOCOL_VERSION, welcome } from '../../protocol/messages.js';
import type { Receipt } from '../../protocol/update.js';

/** What an upload was answered. `code` is null where it was accepted. */
export interface Answer {
  readonly status: number;
  readonly code: string | null;
  readonly message: string;
  readonly receipt: Receipt | null;
}

export interface RawClient {
  readonly name: string;
  readonly token: string;
  readonly welcome: Welcome;
  /** The n-th assignment that the client was given, counted from 1. */
  assignment(n?: number): Promise<Assignment>;
  /** The reason with which the coordinator closed an assignment. */
  closed(assignmentId: string): Promise<string>;
  decline(assignmentId: string): Promise<void>;
  leave(): void;
}

const connected = new Set<RawClient>();

export async function rawClient(url: string, name: string, token: string): Promise<RawClient> {
  const socket = io(url, { auth: { token }, forceNew: true, reconnection: false });
  const given: Assignment[] = [];
  const ends = new Map<string, string>();
  const waiting = new Set<() => void>();
  const until = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = look();
        if (found === undefined) return;
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
    });
  const take = (raw: unknown): void => {
    given.push(assignment.parse(raw));
    for (const check of waiting) check();
  };
  socket.on('assignment', take);
  socket.on('closed', (message: { assignmentId: string; reason: string }) => {
    ends.set(message.assignmentId, message.reason);
    for (const check of waiting) check();
  });
  await new Promise<void>((resolve, reject) => {
    socket.on('connect', resolve);
    socket.on('connect_error', reject);
  });
  const hello = { protocolVersion: PROTOCOL_VERSION, sdkVersion: 'test', trains: true };
  const ack = (await socket.emitWithAck('hello', hello)) as { value: unknown };
  const client: RawClient = {
    name,
    token,
    welcome: welcome.parse(ack.value),
    assignment: (n = 1) => until(() => given.at(n - 1)),
    closed: (id) => until(() => ends.get(id)),
    decline: async (assignmentId) => {
      await socket.emitWithAck('decline', { assignmentId, reason: 'the test says so' });
    },
    leave: () => {
      connected.delete(client);
      socket.disconnect();
    },
  };
  connected.add(client);
  return client;
}

/** For afterEach. */
export function disconnectAll(): void {
  for (const client of [...connected]) client.leave();
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** PUTs a body; the token and the hash may be anything, or left out. */
export async function put(
  url: string,
  body: Uint8Array,
  { token, hash = sha256(body) }: { token?: string; hash?: string | null },
): Promise<Answer> {
  const response = await fetch(url, {
    method: 'PUT',
    body: body as Uint8Array<ArrayBuffer>,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(hash === null ? {} : { [SHA256_HEADER]: hash }),
    },
  });
  return answerOf(response.status, await response.json());
}

/** Announces more bytes than it sends, and then sends no more: the connection ends in mid-body. */
export async function putTruncated(url: string, body: Uint8Array, token: string): Promise<Answer> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const head = [
    `PUT ${pathname} HTTP/1.1`,
    `host: ${hostname}:${port}`,
    `authorization: Bearer ${token}`,
    `${SHA256_HEADER}: ${sha256(body)}`,
    `content-length: ${body.byteLength}`,
    'connection: close',
    '\r\n',
  ].join('\r\n');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.write(head);
    // Half-closed: the peer knows that no more will come, and can still answer.
    socket.end(body.subarray(0, body.byteLength - 7));
  });
  const text = Buffer.concat(chunks).toString('utf8');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  return answerOf(status, JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)));
}

function answerOf(status: number, body: unknown): Answer {
  if (status < 300) {
    const { receipt } = uploadAnswer.parse(body);
    return { status, code: null, message: '', receipt };
  }
  const { error, receipt } = failure.parse(body);
  return { status, code: error.code, message: error.message, receipt: receipt ?? null };
}
