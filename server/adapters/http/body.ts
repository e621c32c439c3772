/**
 * Request bodies, read with limits: length, time, encoding. Every body that the coordinator takes
 * comes through here, so that a peer can neither fill the memory nor hold a connection for nothing.
 */
import type { IncomingMessage } from 'node:http';
import { TributaryError } from '../../../protocol/errors.js';
import { checkPlain } from '../plain-json.js';

export interface BodyLimits {
  /** How long a peer may send nothing. */
  readonly idleMs: number;
  /** A peer that stays below this for long is cut like one that sends nothing. */
  readonly minBytesPerSecond: number;
}

/**
 * Checks what the headers say of the body, before a byte of it is read.
 *
 * @throws TributaryError `bad_request` for a compressed body, `too_large` for a declared length over
 * `maxBytes`.
 */
export function checkDeclaredBody(req: IncomingMessage, maxBytes: number): void {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    // A few kilobytes of gzip unpack to gigabytes, and hashes are over what was sent.
    throw new TributaryError('bad_request', 'content-encoding: send the body uncompressed');
  }
  const transfer = req.headers['transfer-encoding'] ?? 'chunked';
  if (transfer.toLowerCase() !== 'chunked') {
    throw new TributaryError('bad_request', 'transfer-encoding: only chunked is taken');
  }
  const declared = Number(req.headers['content-length'] ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes, declared);
}

/**
 * The body in chunks, with back-pressure. Ends without disturbing the connection, so that an answer
 * can still be sent after any of the errors.
 *
 * @throws TributaryError `truncated`, `too_large`, `too_slow`.
 */
export async function* bodyOf(
  req: IncomingMessage,
  maxBytes: number,
  limits: BodyLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  // A bucket of patience: waiting for the peer drains it, bytes fill it. It bounds both a standstill
  // and a trickle, and the time that our own disk takes does not count.
  let patienceMs = limits.idleMs;
  let total = 0;
  for (;;) {
    const began = performance.now();
    const chunk = await nextChunk(req, patienceMs);
    if (chunk === null) return;
    patienceMs -= performance.now() - began;
    total += chunk.byteLength;
    if (total > maxBytes) throw tooLarge(maxBytes);
    const earnedMs = (chunk.byteLength * 1000) / limits.minBytesPerSecond;
    patienceMs = Math.min(limits.idleMs, patienceMs + earnedMs);
    yield chunk;
  }
}

/** Reads a small body into memory. Throws as {@link checkDeclaredBody} and {@link bodyOf} do. */
export async function readBody(
  req: IncomingMessage,
  maxBytes: number,
  limits: BodyLimits,
): Promise<Uint8Array> {
  checkDeclaredBody(req, maxBytes);
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyOf(req, maxBytes, limits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Reads a body of JSON. @throws TributaryError `bad_request` besides what {@link readBody} throws. */
export async function readJson(
  req: IncomingMessage,
  maxBytes: number,
  limits: BodyLimits,
): Promise<unknown> {
  const type = req.headers['content-type'] ?? 'application/json';
  if (!/^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new TributaryError('bad_request', 'content-type: send JSON as application/json');
  }
  const value = parseJson(await readBody(req, maxBytes, limits));
  checkPlain(value, 'body');
  return value;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : 'it is not UTF-8';
    throw new TributaryError('bad_request', `body: not JSON: ${why.slice(0, 200)}`, undefined, {
      cause,
    });
  }
}

/**
 * Reads on and throws away, for at most `totalMs` and `idleMs` of standstill. Whoever closes a
 * connection with bytes unread makes the kernel send a reset, and the peer may lose the answer that
 * was already on its way.
 */
export async function drain(req: IncomingMessage, totalMs: number, idleMs: number): Promise<void> {
  const end = performance.now() + totalMs;
  try {
    for (;;) {
      const left = Math.min(idleMs, end - performance.now());
      if (left <= 0 || (await nextChunk(req, left)) === null) return;
    }
  } catch {
    // Gone or too slow: in both cases nobody is left to wait for.
  }
}

/** What has arrived, or null after the last byte. */
async function nextChunk(req: IncomingMessage, waitMs: number): Promise<Uint8Array | null> {
  const end = performance.now() + waitMs;
  for (;;) {
    const chunk = req.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (req.readableEnded) return null;
    if (req.destroyed) throw new TributaryError('truncated', 'the connection ended in mid-body');
    const left = end - performance.now();
    if (left <= 0) {
      throw new TributaryError('too_slow', `the body stood still for ${Math.round(waitMs)} ms`);
    }
    await somethingHappens(req, left);
  }
}

function somethingHappens(req: IncomingMessage, withinMs: number): Promise<void> {
  const events = ['readable', 'end', 'close', 'error'] as const;
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const event of events) req.off(event, done);
      resolve();
    };
    // After a long blockage of our own, the timer is served before the socket: read once more.
    const timer = setTimeout(() => setImmediate(done), withinMs);
    for (const event of events) req.on(event, done);
  });
}

function tooLarge(maxBytes: number, declared?: number): TributaryError {
  const found = declared === undefined ? 'the body' : `a body of ${declared} bytes`;
  return new TributaryError('too_large', `${found} is over the limit of ${maxBytes} bytes`, {
    maxBytes,
  });
}
