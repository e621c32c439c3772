/** Repeating what failed in passing, until it succeeds or is no longer wanted. */
import { TributaryError } from '../protocol/errors.js';
import { sleep } from './abort.js';
import { backoffMs } from './backoff.js';
import type { Environment } from './environment.js';
import { ConnectionLost, HttpFailure } from './http.js';

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
      const asked = error instanceof HttpFailure ? error.retryAfterMs : 0;
      const delayMs = Math.max(asked, backoffMs(failures, environment.random));
      options.onRetry?.(error, delayMs);
      await sleep(delayMs, signal, environment);
    }
  }
}
