import type { Environment } from './environment.js';

/** However long the lease is: operators see by it who is at work. Milliseconds. */
const LONGEST_MS = 20_000;
/** So many beats fall into one lease: two may be lost, and the client is still at work. */
const BEATS_A_LEASE = 3;

export interface Heart {
  /** Beats at once, and then again at the usual distance. */
  beatNow(): void;
  stop(): void;
}

/**
 * Calls `beat` for as long as an assignment is worked on, so that its lease does not lapse.
 *
 * @param leaseMs Without one, from a coordinator that knows no leases, nothing beats.
 */
export function startHeart(
  leaseMs: number | undefined,
  beat: () => void,
  { after }: Pick<Environment, 'after'>,
): Heart {
  if (leaseMs === undefined) return { beatNow: () => undefined, stop: () => undefined };
  const everyMs = Math.min(leaseMs / BEATS_A_LEASE, LONGEST_MS);
  let stopped = false;
  const beatLater = () => after(everyMs, beatNow);
  const beatNow = () => {
    cancel();
    if (stopped) return;
    beat();
    cancel = beatLater();
  };
  let cancel = beatLater();
  return {
    beatNow,
    stop: () => {
      stopped = true;
      cancel();
    },
  };
}
