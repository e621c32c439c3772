/** How long to wait before the next attempt, where many clients may have failed at the same moment. */

/** The wait grows by half from the first to the cap. Milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly capMs: number;
}

/**
 * Each wait is about half of the time that has passed: a coordinator that was away for two seconds has
 * its clients back within the next. (Where waits double, the last one is as long as all the outage.)
 */
const GROWTH = 1.5;

/** Caps at five seconds, so that one that was away for long has them back soon after, too. */
export const patientBackoff: BackoffLimits = { firstMs: 250, capMs: 5_000 };

/**
 * Milliseconds before the next attempt: uniform between half of the exponential step and the whole.
 *
 * The jitter stays when the cap is reached. Socket.IO's own back-off cuts off after its jitter, so
 * that clients of a coordinator that was away for long all come back in the same instant.
 *
 * @param failures Attempts that failed before this one, without the last: 0 for the first wait.
 * @param random Uniform in [0, 1).
 */
export function backoffMs(
  failures: number,
  random: () => number,
  { firstMs, capMs }: BackoffLimits = patientBackoff,
): number {
  const step = Math.min(capMs, firstMs * GROWTH ** failures);
  return step / 2 + (random() * step) / 2;
}

/** Those who were asked to wait for as long come back over so large a share of that time. */
const SPREAD = 1 / 4;

/**
 * Milliseconds before the next attempt at a peer that may have said when to come back: not before
 * that, and spread out beyond it.
 *
 * @param askedMs 0 where it said nothing.
 * @param ownMs What this client would wait by itself.
 */
export function politeMs(askedMs: number, ownMs: number, random: () => number): number {
  if (askedMs === 0) return ownMs;
  return Math.max(ownMs, askedMs * (1 + SPREAD * random()));
}
