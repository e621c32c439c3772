/** What operators do to a run that is under way: pause it, resume it, stop it. */
import { TributaryError } from '../../protocol/errors.js';
import type { RunStatus } from '../../protocol/run.js';
import { isLive } from '../../protocol/run.js';
import type { Run } from '../core/records.js';
import type { EngineTools } from './engine.js';
import { ROOT } from './membership.js';
import type { Loops } from './loops.js';
import type { Cause } from './perform.js';
import { stop } from './perform.js';

/** `by` is the operator who does it, for the ledger; the configured one if nothing is said. */
export interface RunControl {
  /**
   * The round under way ends as ever, and no other begins. Clients stay connected and wait.
   * @throws TributaryError `run_not_found`, `run_over`, `conflict` where it is paused.
   */
  pauseRun(runId: string, reason: string, by?: string): Promise<Run>;
  /** @throws TributaryError `run_not_found`, `run_over`, `conflict` where it is not paused. */
  resumeRun(runId: string, reason: string, by?: string): Promise<Run>;
  /** @throws TributaryError `run_not_found`, `run_over`. */
  stopRun(runId: string, reason: string, by?: string): Promise<Run>;
}

/** @throws TributaryError `run_not_found` */
export async function runOf({ store }: Pick<EngineTools, 'store'>, runId: string): Promise<Run> {
  const run = await store.run(runId);
  if (!run) throw new TributaryError('run_not_found', `there is no run "${runId}"`);
  return run;
}

export function runControl(parts: EngineTools, loops: Loops): RunControl {
  const { store, clock } = parts;

  /** A run that may still go on. Each caller may find it over a moment later. */
  const liveRun = async (runId: string): Promise<Run> => {
    const run = await runOf(parts, runId);
    if (isLive(run.status)) return run;
    throw new TributaryError('run_over', `run "${runId}" is ${run.status} already`);
  };

  const turn = async (
    runId: string,
    [from, to]: readonly [RunStatus, RunStatus],
    { reason: why, by }: Cause,
  ): Promise<Run> => {
    const type = to === 'paused' ? 'run-paused' : 'run-resumed';
    const event = { at: clock.now(), type, body: { reason: why, by } };
    const reason = to === 'paused' ? why : null;
    if (!(await store.setStatus(runId, [from], { status: to, reason, event }))) {
      const { status } = await liveRun(runId);
      throw new TributaryError('conflict', `run "${runId}" is ${status}, not ${from}`);
    }
    loops.poke(runId);
    return runOf(parts, runId);
  };

  return {
    pauseRun: (runId, reason, by = ROOT) => turn(runId, ['running', 'paused'], { reason, by }),
    resumeRun: (runId, reason, by = ROOT) => turn(runId, ['paused', 'running'], { reason, by }),

    async stopRun(runId, reason, by = ROOT) {
      for (;;) {
        const run = await liveRun(runId);
        const round = await store.currentRound(runId);
        if (!round) throw new TributaryError('run_over', `run "${runId}" has no round`);
        // It ended between the two looks: the next one finds the run over too.
        if (round.closedAt !== null) continue;
        const scene = { run, round, parts };
        if (await stop(scene, { reason, by }, () => loops.stop(runId))) break;
      }
      loops.poke(runId);
      return runOf(parts, runId);
    },
  };
}
