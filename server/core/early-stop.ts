/** Whether a run still gets better, by a pooled metric of its evaluations. */
import type { EarlyStop } from '../../protocol/run.js';

/** What is asked of an evaluation. */
export interface Measured {
  readonly version: number;
  readonly pooled: Readonly<Record<string, number>>;
}

/**
 * Why a run ends: the metric has not become better for `patience` evaluations in a row. Null while it
 * may go on. Evaluations without the metric say nothing, and NaN is never
 * better than a number.
 *
 * @param evaluations oldest first
 */
export function earlyStopReason(
  evaluations: readonly Measured[],
  { metric, patience, mode = metric === 'loss' ? 'min' : 'max', minDelta }: EarlyStop,
): string | null {
  const measured = evaluations.flatMap(({ version, pooled }) =>
    Object.hasOwn(pooled, metric) ? [{ version, value: pooled[metric] }] : [],
  );
  if (measured.length === 0) return null;
  let best = 0;
  measured.forEach(({ value }, i) => {
    if (isBetter(value, measured[best].value, mode, minDelta)) best = i;
  });
  if (measured.length - 1 - best < patience) return null;
  const { version, value } = measured[best];
  const shown = Number(value.toPrecision(6));
  return (
    `early stop: ${metric} has not improved by more than ${minDelta} for ${patience} evaluations; ` +
    `best ${shown} at version ${version}`
  );
}

function isBetter(
  value: number,
  best: number,
  mode: NonNullable<EarlyStop['mode']>,
  minDelta: number,
): boolean {
  if (Number.isNaN(best)) return !Number.isNaN(value);
  // A difference to NaN is NaN, which is over nothing.
  return (mode === 'min' ? best - value : value - best) > minDelta;
}
