/** Repeating what failed in passing, until it succeeds or is no longer wanted. */
import { TributaryError } from '../protocol/errors.js';
import { sleep } from './abort.js';
import { backoffMs, politeMs } from './backoff.js';
import type { Environment } from './environment.js';
import { ConnectionLost } from './http.js';

export interface RetryOptions {
  readonly environment: Environment;
  /** Ends the repeating. An attempt that is under way ends by its own signal. */
  readonly signal: AbortSignal;
  /** Told of each failure that will be followed by another attempt. */
  readonly onRetry?: (error: Error, delayMs: number) => void;
  /** {@link isPassing} unless told otherwise. */
  readonly worthRepeating?: (error: unknown) => boolean;
}

/** True where the same request may succeed later: the network, or a code that the table calls so. */
export function isPassing(error: unknown): error is TributaryError | ConnectionLost {
  if (error instanceof TributaryError) return error.retryable;
  return error instanceof ConnectionLost;
}

/** How long the coordinator wants to be left alone, as it said itself; 0 where it did not. */
export function askedMs(error: Error): number {
  return error instanceof TributaryError ? (error.retryAfterMs ?? 0) : 0;
}

/** @throws what the last attempt threw; the signal's reason. */
export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { environment, signal, worthRepeating = isPassing } = options;
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error) || !worthRepeating(error)) throw error;
      const ownMs = backoffMs(failures, environment.random);
      const delayMs = politeMs(askedMs(error), ownMs, environment.random);
      options.onRetry?.(error, delayMs);
      await sleep(delayMs, signal, environment);
    }
  }
}

/** For commands, which fail rather than wait: one attempt at each of so many coordinators. */
export async function onceEach<T>(coordinators: number, attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (tried === coordinators || !isPassing(error)) throw error;
    }
  }
}
