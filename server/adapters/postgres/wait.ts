import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  readonly everyMs: number;
  readonly timeoutMs: number;
}

/**
 * Asks `check` until it answers something other than undefined.
 *
 * @returns the answer, or undefined when the time is up.
 */
export async function waitFor<T>(
  check: () => T | undefined | Promise<T | undefined>,
  { everyMs, timeoutMs }: WaitOptions,
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await check();
    if (answer !== undefined || performance.now() >= deadline) return answer;
    await delay(everyMs);
  }
}
