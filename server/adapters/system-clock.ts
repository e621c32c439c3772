/** The machine's clock. */
import type { Clock } from '../core/ports.js';

/** setTimeout takes a 32-bit number and fires at once past it. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export function systemClock(): Clock {
  return { now: Date.now, wakeAt };
}

function wakeAt(at: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  // A timer may fire a millisecond early, and a far one is reached in several steps: look again.
  const sleep = (): void => {
    const left = at - Date.now();
    timer = setTimeout(
      left > 0 ? sleep : callback,
      Math.max(0, Math.min(left, LONGEST_TIMEOUT_MS)),
    );
  };
  sleep();
  return () => {
    clearTimeout(timer);
  };
}
