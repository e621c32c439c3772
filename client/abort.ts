/** Waiting that an AbortSignal can end. */
import type { Environment } from './environment.js';

/** What `signal.reason` is when local work is no longer wanted: an `AbortError` that says why. */
export function abortReason(why: string): DOMException {
  return new DOMException(why, 'AbortError');
}

/** The signal's reason as an Error, whatever the caller aborted with. */
function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : abortReason(String(reason));
}

/**
 * The promise, or a rejection with the signal's reason as soon as it is aborted. Work behind the
 * promise is not ended by that; its outcome is dropped, a rejection too.
 */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(reasonOf(signal));
    const settle = () => signal.removeEventListener('abort', abort);
    promise.finally(settle).then(resolve, reject);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

/** @throws the signal's reason, once it is aborted. */
export function sleep(ms: number, signal: AbortSignal, environment: Environment): Promise<void> {
  let cancel: (() => void) | undefined;
  const elapsed = new Promise<void>((resolve) => {
    cancel = environment.after(ms, resolve);
  });
  return orAborted(elapsed, signal).finally(() => cancel?.());
}
