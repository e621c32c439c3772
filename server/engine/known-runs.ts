/**
 * Runs for whom only what never changes is needed: the specification and the scale of the fold. An
 * upload asks for it twice, with the whole task in it; a round of two hundred would read it four
 * hundred times.
 */
import type { Run } from '../core/records.js';
import type { EngineTools } from './engine.js';
import { runOf } from './run-control.js';

export type FixedRun = Pick<Run, 'id' | 'spec' | 'fold'>;

/** The one longest unasked goes first. */
const MOST_RUNS = 64;

/** @throws TributaryError `run_not_found` */
export function rememberedRuns(
  parts: Pick<EngineTools, 'store'>,
): (runId: string) => Promise<FixedRun> {
  const known = new Map<string, FixedRun>();
  return async (runId) => {
    const run = known.get(runId) ?? (await runOf(parts, runId));
    known.delete(runId);
    known.set(runId, run);
    if (known.size > MOST_RUNS) known.delete(known.keys().next().value!);
    return run;
  };
}
