/** What the next start, or the next attempt, makes good. */
import type { AssignmentRecord, Run } from '../core/records.js';
import type { Round } from '../core/round.js';
import { isOpen, newestVersion } from '../core/round.js';
import { assignmentMessage } from './assignments.js';
import type { EngineTools } from './engine.js';
import type { Scene } from './scene.js';
import { announce, assignmentsOf, checkpointOf, releaseUpdates } from './scene.js';

/**
 * What a commit whose answer was lost, or a failure just after one, has left undone: present clients
 * do not know of their assignments, nor that others are not needed any more, nor of the end of the
 * run, and updates are still there.
 */
export async function catchUp(scene: Scene): Promise<void> {
  const { run, round, parts } = scene;
  const done = await parts.store.settledRound(run.id);
  if (done) {
    const records = await parts.store.assignments(run.id, done.number, done.attempt);
    await releaseUpdates(scene, records);
    tellEnded(scene, done, records);
  }
  await assignAgain(scene);
  const version = newestVersion(round);
  announce(scene, { round: round.number, version, status: run.status, reason: run.reason });
}

/** Whoever is at work on what the round does not wait for any more stops. */
function tellEnded(
  { run, parts }: Scene,
  round: Round,
  records: readonly AssignmentRecord[],
): void {
  for (const record of records) {
    if (record.state !== 'invited' || isOpen(record, round)) continue;
    const reason = `round ${round.number} is ${round.phase}`;
    parts.transport.closed(run.id, record.clientId, record.id, reason);
  }
}

/** A client that has heard of its assignment, or has done it, passes over what it is told twice. */
async function assignAgain(scene: Scene): Promise<void> {
  const { run, round, parts } = scene;
  const records = await assignmentsOf(scene);
  tellEnded(scene, round, records);
  const open = records.filter((record) => isOpen(record, round));
  if (open.length === 0) return;
  const base = await checkpointOf(scene, open[0].baseVersion);
  const remainingMs = (round.deadline ?? 0) - parts.clock.now();
  for (const record of open) {
    parts.transport.assign(record.clientId, assignmentMessage(run, record, base, remainingMs));
  }
}

/** Deletes what a crash between the last commit of a run and the deletion of its updates left. */
export async function releaseEnded(run: Run, parts: EngineTools): Promise<void> {
  const round = await parts.store.currentRound(run.id);
  if (!round || run.spec.keepUpdates) return;
  const records = await assignmentsOf({ run, round, parts });
  const last = records.findLast(({ state, update }) => state === 'accepted' && update);
  if (!last) return;
  // They are deleted in order: where the last one is gone, all are, and old runs cost one look.
  const isLeft = await parts.blobs.open(last.update!.sha256).then(
    () => true,
    () => false,
  );
  if (isLeft) await releaseUpdates({ run, parts }, records);
}
