/** What the next start, or the next attempt, makes good. */
import type { Run } from '../core/ports.js';
import { isOpen, needsUpdates } from '../core/round.js';
import { assignmentMessage } from './assignments.js';
import type { EngineTools } from './engine.js';
import type { Scene } from './scene.js';
import { announce, assignmentsOf, checkpointOf, releaseUpdates } from './scene.js';

/**
 * What a commit whose answer was lost, or a failure just after one, has left undone: present clients
 * do not know of their assignments, nor of the end of the run, and updates are still there.
 */
export async function catchUp(scene: Scene): Promise<void> {
  const { run, round, parts } = scene;
  const rounds = (await parts.store.rounds(run.id)).map((record) => record.round);
  const done = rounds.findLast((each) => !needsUpdates(each));
  if (done) {
    const records = await parts.store.assignments(run.id, done.number, done.attempt);
    await releaseUpdates(scene, records);
  }
  await assignAgain(scene);
  const version = round.version ?? round.baseVersion;
  announce(scene, { round: round.number, version, status: run.status, reason: run.reason });
}

/** A client that has heard of its assignment, or has done it, passes over what it is told twice. */
async function assignAgain(scene: Scene): Promise<void> {
  const { run, round, parts } = scene;
  const open = (await assignmentsOf(scene)).filter((record) => isOpen(record, round));
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
