import type { Environment } from './environment.js';

export interface Throttled<T> {
  (value: T): void;
  /** Sends nothing more, not even what was held back. */
  stop(): void;
}

/**
 * Passes values on at least `ms` apart: the first at once, then the newest of those that came in
 * the meantime. So the last one always arrives, and an operator never looks at a stale share.
 */
export function throttle<T>(
  send: (value: T) => void,
  ms: number,
  environment: Pick<Environment, 'after'>,
): Throttled<T> {
  let held: { value: T } | undefined;
  let cancel: (() => void) | undefined;
  let stopped = false;
  const pass = (value: T) => {
    held = undefined;
    cancel = environment.after(ms, () => {
      cancel = undefined;
      if (held) pass(held.value);
    });
    send(value);
  };
  const throttled = (value: T) => {
    if (stopped) return;
    if (cancel) held = { value };
    else pass(value);
  };
  const stop = () => {
    stopped = true;
    cancel?.();
  };
  return Object.assign(throttled, { stop });
}
