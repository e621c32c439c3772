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

type Line = Pick<Connection, 'lost' | 'close'>;

export interface SessionOptions<C extends Line> {
  readonly open: (attempt: number) => Promise<{ connection: C; welcome: Welcome }>;
  readonly onOpen: (connection: C, welcome: Welcome) => void;
  readonly onLost: (error: Error, delayMs: number) => void;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/**
 * Connects, and connects again with back-off whenever the connection is lost.
 *
 * @throws TributaryError where the coordinator refuses for good; the signal's reason.
 */
export async function keepConnected<C extends Line>(options: SessionOptions<C>): Promise<never> {
  const { environment, signal } = options;
  for (let failures = 0; ; failures++) {
    const life = { stable: false };
    const error = await stayOnce(options, failures, life);
    signal.throwIfAborted();
    if (!isPassing(error)) throw error;
    if (life.stable) failures = 0;
    const delayMs = backoffMs(failures, environment.random);
    options.onLost(error, delayMs);
    await sleep(delayMs, signal, environment);
  }
}

/** One connection from its beginning to its end; resolves with why it ended. */
async function stayOnce<C extends Line>(
  { open, onOpen, environment, signal }: SessionOptions<C>,
  attempt: number,
  life: { stable: boolean },
): Promise<Error> {
  let leave: (() => void) | undefined;
  let cancel: (() => void) | undefined;
  try {
    const { connection, welcome } = await open(attempt);
    leave = () => connection.close();
    signal.addEventListener('abort', leave);
    cancel = environment.after(STABLE_MS, () => (life.stable = true));
    onOpen(connection, welcome);
    return await connection.lost;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  } finally {
    cancel?.();
    if (leave) signal.removeEventListener('abort', leave);
  }
}
