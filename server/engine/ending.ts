/** What follows a round that committed: the next one, or the end of the run. */
import type { EarlyStop } from '../../protocol/run.js';
import type { Measured } from '../core/early-stop.js';
import { earlyStopReason } from '../core/early-stop.js';
import type { RoundChanges } from '../core/records.js';
import { openRound } from '../core/round.js';
import type { Scene } from './scene.js';
import { event } from './scene.js';

type Ending = Pick<RoundChanges, 'next' | 'run' | 'events'>;

/** @param evaluation of the version that the round committed; null where there is none. */
export async function ending(
  scene: Scene,
  version: number,
  at: number,
  evaluation: Measured | null,
): Promise<Ending> {
  const { run, round } = scene;
  const { rounds, earlyStop } = run.spec;
  if (version >= rounds) return completed(scene, version, null);
  const reason = earlyStop && evaluation && (await stopsEarly(scene, earlyStop, evaluation));
  if (reason) return completed(scene, version, reason);
  return { next: openRound(run.id, round.number + 1, 1, version, at) };
}

function completed(scene: Scene, version: number, reason: string | null): Ending {
  return {
    run: { status: 'completed', reason },
    events: [event(scene, 'run-completed', { version, ...(reason !== null && { reason }) })],
  };
}

async function stopsEarly(
  { run, parts }: Scene,
  earlyStop: EarlyStop,
  evaluation: Measured,
): Promise<string | null> {
  const before = await parts.store.evaluations(run.id);
  // Told once, with the first evaluation: a name that is spelt wrong would never end the run.
  if (before.length === 0 && !Object.hasOwn(evaluation.pooled, earlyStop.metric)) {
    const metrics = Object.keys(evaluation.pooled).join(', ');
    const message = `early stop: no site reports "${earlyStop.metric}"; there are: ${metrics}`;
    parts.log.warn({ runId: run.id, version: evaluation.version }, message);
  }
  return earlyStopReason([...before, evaluation], earlyStop);
}
