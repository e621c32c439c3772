/** Runs looked up, or remembered where what never changes is enough. */
import { TributaryError } from '../../protocol/errors.js';
import { isLive } from '../../protocol/run.js';
import type { RunStore } from '../core/ports.js';
import type { Run } from '../core/records.js';

interface Parts {
  readonly store: Pick<RunStore, 'run'>;
}

/** A run as it stands. @throws TributaryError `run_not_found` */
export async function runOf({ store }: Parts, runId: string): Promise<Run> {
  const run = await store.run(runId);
  if (run) return run;
  throw new TributaryError('run_not_found', `there is no run "${runId}"`);
}

/** A run that may still go on; a moment later it may be over. @throws also `run_over` */
export async function liveRunOf(parts: Parts, runId: string): Promise<Run> {
  const run = await runOf(parts, runId);
  if (isLive(run.status)) return run;
  throw new TributaryError('run_over', `run "${runId}" is ${run.status} already`);
}

/** What never changes of a run. */
export type FixedRun = Pick<Run, 'id' | 'spec' | 'fold'>;

/** The one longest unasked goes first. */
const MOST_RUNS = 64;

/**
 * An upload asks for its run twice, with the whole task in it; a round of two hundred would read it
 * four hundred times. What comes back throws `run_not_found`.
 */
export function rememberedRuns(parts: Parts): (runId: string) => Promise<FixedRun> {
  const known = new Map<string, FixedRun>();
  return async (runId) => {
    const run = known.get(runId) ?? (await runOf(parts, runId));
    known.delete(runId);
    known.set(runId, run);
    if (known.size > MOST_RUNS) known.delete(known.keys().next().value!);
    return run;
  };
}
