/** What operators do to a run that is under way: pause it, resume it, stop it. */
import { TributaryError } from '../../protocol/errors.js';
import type { RunStatus } from '../../protocol/run.js';
import type { Run } from '../core/records.js';
import type { EngineTools } from './engine.js';
import { liveRunOf, runOf } from './known-runs.js';
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

export function runControl(parts: EngineTools, loops: Loops): RunControl {
  const { store, clock } = parts;

  const turn = async (
    runId: string,
    [from, to]: readonly [RunStatus, RunStatus],
    { reason: why, by }: Cause,
  ): Promise<Run> => {
    const type = to === 'paused' ? 'run-paused' : 'run-resumed';
    const event = { at: clock.now(), type, body: { reason: why, by } };
    const reason = to === 'paused' ? why : null;
    if (!(await store.setStatus(runId, [from], { status: to, reason, event }))) {
      const { status } = await liveRunOf(parts, runId);
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
        const run = await liveRunOf(parts, runId);
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
