/** Stays connected for as long as it takes. */
import type { Welcome } from '../protocol/messages.js';
import { sleep } from './abort.js';
import { backoffMs } from './backoff.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import { isPassing } from './retry.js';

/**
 * A connection that lived for so long counts as a success. One that is cut again at once does not:
 * two processes with the same token would otherwise throw each other out without a pause.
 */
const STABLE_MS = 10_000;

export interface SessionOptions {
  open(): Promise<{ connection: Connection; welcome: Welcome }>;
  onOpen(connection: Connection, welcome: Welcome): void;
  onLost(error: Error, delayMs: number): void;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/**
 * Connects, and connects again with back-off whenever the connection is lost.
 *
 * @throws TributaryError where the coordinator refuses for good; the signal's reason.
 */
export async function keepConnected(options: SessionOptions): Promise<never> {
  const { environment, signal } = options;
  for (let failures = 0; ; failures++) {
    let stable = false;
    const error = await stayOnce(options, () => (stable = true));
    signal.throwIfAborted();
    if (stable) failures = 0;
    const delayMs = backoffMs(failures, environment.random);
    options.onLost(error, delayMs);
    await sleep(delayMs, signal, environment);
  }
}

/** One connection from beginning to end; returns why it ended, if another may follow. */
async function stayOnce(options: SessionOptions, onStable: () => void): Promise<Error> {
  try {
    const { connection, welcome } = await options.open();
    const cancel = options.environment.after(STABLE_MS, onStable);
    const leave = () => connection.close();
    options.signal.addEventListener('abort', leave, { once: true });
    try {
      options.onOpen(connection, welcome);
      return await connection.lost;
    } finally {
      cancel();
      options.signal.removeEventListener('abort', leave);
    }
  } catch (error) {
    if (isPassing(error)) return error;
    throw error;
  }
}
