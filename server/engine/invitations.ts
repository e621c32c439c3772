/** Who is asked to train: the cohort of a round, those in the place of drop-outs, and who is dropped. */
import type { DropReason } from '../core/duties.js';
import type { Checkpoint } from '../core/records.js';
import type { Candidate } from '../core/round.js';
import type { NewAssignment } from './assignments.js';
import { assignmentMessage, newAssignment } from './assignments.js';
import { requireSound } from './damage.js';
import type { Scene } from './scene.js';
import { announce, checkpointOf, commit, event } from './scene.js';

export async function begin(
  scene: Scene,
  cohort: readonly Candidate[],
  wanted: number,
): Promise<void> {
  const { run, round, parts } = scene;
  const base = await checkpointOf(scene, round.baseVersion);
  await requireSound(scene, base);
  const at = parts.clock.now();
  const { deadlineMs } = run.spec;
  const assignments = assignmentsFor(scene, cohort);
  const began = await commit(
    scene,
    { type: 'begin', at, deadline: at + deadlineMs, wanted },
    {
      assignments,
      events: [event(scene, 'round-began', { cohort: idsOf(cohort), wanted })],
      // A run that was paused since it was loaded begins no round.
      onlyWhile: 'running',
    },
  );
  if (!began) return;
  assign(scene, assignments, base, deadlineMs);
  announce(scene, { round: round.number, version: round.baseVersion });
}

/** Others get what is left of the time. */
export async function replace(scene: Scene, cohort: readonly Candidate[]): Promise<void> {
  const { round, parts, run } = scene;
  const base = await checkpointOf(scene, round.baseVersion);
  const at = parts.clock.now();
  const assignments = assignmentsFor(scene, cohort);
  const events = [event(scene, 'round-extended', { cohort: idsOf(cohort) })];
  if (!(await commit(scene, { type: 'extend', at }, { assignments, events }))) return;
  const invited = cohort.length;
  parts.log.info({ runId: run.id, round: round.number, invited }, 'drop-outs are replaced');
  assign(scene, assignments, base, (round.deadline ?? at) - at);
}

/** Ends an assignment. Whoever is still at work on it is told to stop. */
export async function drop(
  { run, round, parts }: Scene,
  assignment: string,
  client: string,
  reason: DropReason,
): Promise<void> {
  if (!(await parts.store.drop(assignment))) return;
  const facts = { runId: run.id, round: round.number, client, assignment, reason };
  parts.log.info(facts, 'assignment dropped');
  parts.transport.closed(run.id, client, assignment, reason);
}

function assignmentsFor({ round }: Scene, cohort: readonly Candidate[]): NewAssignment[] {
  return cohort.map((client) => newAssignment(round, 'train', client, round.baseVersion));
}

function assign(
  { run, parts }: Scene,
  assignments: readonly NewAssignment[],
  base: Checkpoint,
  remainingMs: number,
): void {
  for (const record of assignments) {
    parts.transport.assign(record.clientId, assignmentMessage(run, record, base, remainingMs));
  }
}

function idsOf(cohort: readonly Candidate[]): string[] {
  return cohort.map(({ clientId }) => clientId);
}
