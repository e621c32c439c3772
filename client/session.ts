/** Stays connected for as long as it takes. */
import type { Welcome } from '../protocol/messages.js';
import { sleep } from './abort.js';
import type { Address } from './address.js';
import { backoffMs, politeMs } from './backoff.js';
import type { Connection } from './connection.js';
import type { Coordinators } from './coordinators.js';
import type { Environment } from './environment.js';
import { asError } from './failures.js';
import { askedMs, isPassing } from './retry.js';

/**
 * A connection that lived for so long counts as a success: a coordinator that was killed has its
 * clients back soon after. One that is cut again at once does not, or a proxy with nothing behind it
 * would be called without a pause.
 */
const STABLE_MS = 1_000;

type Line = Pick<Connection, 'lost' | 'close'>;

export interface SessionOptions<C extends Line> {
  readonly coordinators: Coordinators;
  /** @param attempt Counts the attempts at one address that failed before. */
  readonly open: (
    address: Address,
    attempt: number,
  ) => Promise<{ connection: C; welcome: Welcome }>;
  readonly onOpen: (connection: C, welcome: Welcome) => void;
  /** Receipts so far. A connection that brought one counts as a success, however short it was. */
  readonly receipts: () => number;
  readonly onLost: (error: Error, delayMs: number) => void;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/**
 * Connects, and connects again whenever the connection is lost: at the next coordinator at once, and
 * with back-off when none of them would serve.
 *
 * @throws TributaryError where the coordinator refuses for good; the signal's reason.
 */
export async function keepConnected<C extends Line>(options: SessionOptions<C>): Promise<never> {
  const { coordinators, environment, signal } = options;
  const { random } = environment;
  /** Since the last connection. */
  const asked = new Map<Address, number>();
  for (let failures = 0; ; failures++) {
    const life = { opened: false, stable: false };
    const address = coordinators.current;
    const receipts = options.receipts();
    const attempt = Math.floor(failures / coordinators.size);
    const error = await stayOnce(options, address, attempt, life);
    signal.throwIfAborted();
    if (!isPassing(error)) throw error;
    if (life.stable || options.receipts() > receipts) failures = 0;
    if (life.opened) asked.clear();
    asked.set(address, coordinators.granted(askedMs(error)));
    coordinators.leave(address);
    const ownMs = ownWaitMs(coordinators, failures, random);
    const delayMs = politeMs(asked.get(coordinators.current) ?? 0, ownMs, random);
    options.onLost(error, delayMs);
    await sleep(delayMs, signal, environment);
  }
}

/** None while there is a coordinator that was not tried since the last wait. */
function ownWaitMs({ size }: Coordinators, failures: number, random: () => number): number {
  return failures % size === size - 1 ? backoffMs(Math.floor(failures / size), random) : 0;
}

/** One connection from its beginning to its end; resolves with why it ended. */
async function stayOnce<C extends Line>(
  { open, onOpen, coordinators, environment, signal }: SessionOptions<C>,
  address: Address,
  attempt: number,
  life: { opened: boolean; stable: boolean },
): Promise<Error> {
  let leave: (() => void) | undefined;
  let cancel: (() => void) | undefined;
  try {
    const { connection, welcome } = await open(address, attempt);
    life.opened = true;
    coordinators.settle(address);
    leave = () => connection.close();
    signal.addEventListener('abort', leave);
    cancel = environment.after(STABLE_MS, () => (life.stable = true));
    onOpen(connection, welcome);
    return await connection.lost;
  } catch (error) {
    return asError(error);
  } finally {
    cancel?.();
    if (leave) signal.removeEventListener('abort', leave);
  }
}
