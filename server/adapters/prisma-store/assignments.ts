/** Assignments and what becomes of them: receipts, reports, weights. */
import type { EvaluationReport } from '../../../protocol/update.js';
import type { AssignmentRecord, RoundChanges, RoundStore } from '../../core/ports.js';
import type { Round } from '../../core/round.js';
import { Prisma } from '../generated/prisma/client.js';
import { sortedAssignments } from '../order.js';
import { storableUpdate } from '../receipts.js';
import { weightWithoutUpdate } from '../refusals.js';
import { storableJson, storableNumber, storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { record } from './record.js';
import { type AssignmentRow, isInteger32, selectAssignments, toAssignment } from './rows.js';

type AssignmentVerbs = Pick<
  RoundStore,
  'assignments' | 'assignment' | 'record' | 'drop' | 'report'
>;

export function assignmentStore(db: Database): AssignmentVerbs {
  return {
    assignments: (runId, round, attempt) =>
      db.query('list the assignments', (prisma) =>
        findOfRound(prisma, storableText(runId), round, attempt),
      ),

    assignment: (id) =>
      db.query('read an assignment', (prisma) => findAssignment(prisma, storableText(id))),

    record: (id, update) =>
      db.query('store a receipt', (prisma) =>
        record(prisma, storableText(id), storableUpdate(update)),
      ),

    drop: (id) => db.query('drop an assignment', (prisma) => drop(prisma, storableText(id))),

    report: (id, report) =>
      db.query('store an evaluation', (prisma) =>
        takeReport(prisma, storableText(id), storableJson(report, 'report')),
      ),
  };
}

async function findOfRound(
  prisma: Tx,
  runId: string,
  round: number,
  attempt: number,
): Promise<AssignmentRecord[]> {
  if (!isInteger32(round) || !isInteger32(attempt)) return [];
  const rows = await prisma.$queryRaw<AssignmentRow[]>`
    ${selectAssignments} WHERE a.run_id = ${runId} AND a.round = ${round} AND a.attempt = ${attempt}`;
  return sortedAssignments(rows.map(toAssignment));
}

export async function findAssignment(prisma: Tx, id: string): Promise<AssignmentRecord | null> {
  const rows = await prisma.$queryRaw<AssignmentRow[]>`${selectAssignments} WHERE a.id = ${id}`;
  const row = rows.at(0);
  return row ? toAssignment(row) : null;
}

/**
 * Locks an assignment that may still move, and its round against moving on. Where a commit holds the
 * round, this waits and then sees the phase that the commit stored. An assignment that was answered
 * is not locked: a client that repeats itself cannot hold a commit up.
 */
export function lockedPlace(id: string): Prisma.Sql {
  return Prisma.sql`
    SELECT a.id, a.run_id, a.round, a.client_id, a.kind, a.state, r.phase
    FROM assignments a
    JOIN rounds r ON r.run_id = a.run_id AND r.number = a.round AND r.attempt = a.attempt
    WHERE a.id = ${id} AND a.state IN ('invited', 'dropped')
    FOR UPDATE OF a FOR SHARE OF r`;
}

async function drop(prisma: Tx, id: string): Promise<boolean> {
  const count = await prisma.$executeRaw`
    WITH place AS (${lockedPlace(id)})
    UPDATE assignments a SET state = 'dropped' FROM place
    WHERE a.id = place.id AND place.state = 'invited'
      AND (place.kind, place.phase) IN (('train', 'training'), ('evaluate', 'evaluating'))`;
  return count === 1;
}

async function takeReport(prisma: Tx, id: string, report: EvaluationReport): Promise<boolean> {
  const count = await prisma.$executeRaw`
    WITH place AS (${lockedPlace(id)})
    UPDATE assignments a SET state = 'accepted', report = ${JSON.stringify(report)}::jsonb
    FROM place
    WHERE a.id = place.id AND place.kind = 'evaluate'
      AND place.state = 'invited' AND place.phase = 'evaluating'`;
  return count === 1;
}

/** Thousands of them in one statement, column by column. */
export async function insertAssignments(
  tx: Tx,
  assignments: NonNullable<RoundChanges['assignments']>,
): Promise<void> {
  const column = <T>(value: (a: (typeof assignments)[number]) => T): T[] => assignments.map(value);
  await tx.$executeRaw`
    INSERT INTO assignments (id, run_id, round, attempt, client_id, role, kind, base_version)
    SELECT id, run_id, round, attempt, client_id, role::role, kind::assignment_kind, base_version
    FROM unnest(
      ${column((a) => a.id)}::text[], ${column((a) => a.runId)}::text[],
      ${column((a) => a.round)}::int[], ${column((a) => a.attempt)}::int[],
      ${column((a) => a.clientId)}::text[], ${column((a) => a.role)}::text[],
      ${column((a) => a.kind)}::text[], ${column((a) => a.baseVersion)}::int[]
    ) AS t (id, run_id, round, attempt, client_id, role, kind, base_version)`;
}

/** @throws TributaryError `conflict` where one is not for an accepted update of this round. */
export async function setWeights(
  tx: Tx,
  { runId, number, attempt }: Round,
  weights: Readonly<Record<string, number>>,
): Promise<void> {
  const ids = Object.keys(weights);
  const values = Object.values(weights).map((weight) => storableNumber(weight, 'weight'));
  const count = await tx.$executeRaw`
    UPDATE updates u SET weight = t.weight
    FROM unnest(${ids}::text[], ${values}::float8[]) AS t (id, weight)
    JOIN assignments a ON a.id = t.id
    WHERE u.assignment_id = a.id AND u.status = 'accepted'
      AND a.run_id = ${runId} AND a.round = ${number} AND a.attempt = ${attempt}`;
  if (count !== ids.length) throw weightWithoutUpdate();
}
