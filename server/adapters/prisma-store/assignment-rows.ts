/** Assignments as rows: found, locked, written. */
import type { ErrorBody } from '../../../protocol/errors.js';
import type { Metrics } from '../../../protocol/metrics.js';
import type { EvaluationReport } from '../../../protocol/update.js';
import type { AssignmentRecord, RoundChanges, UpdateRow } from '../../core/records.js';
import type { Round } from '../../core/round.js';
import { Prisma } from '../generated/prisma/client.js';
import { sortedAssignments } from '../order.js';
import { weightWithoutUpdate } from '../refusals.js';
import { storableNumber } from '../storable.js';
import type { Tx } from './database.js';
import { isInteger32 } from './rows.js';

/** An assignment beside its update, as {@link selectAssignments} has them. */
interface AssignmentRow {
  readonly id: string;
  readonly run_id: string;
  readonly round: number;
  readonly attempt: number;
  readonly client_id: string;
  readonly role: AssignmentRecord['role'];
  readonly kind: AssignmentRecord['kind'];
  readonly base_version: number;
  readonly state: AssignmentRecord['state'];
  readonly report: EvaluationReport | null;
  readonly sha256: string | null;
  readonly bytes: bigint;
  readonly received_at: Date;
  readonly error: ErrorBody | null;
  readonly num_examples: bigint;
  readonly num_steps: bigint;
  readonly norm: number;
  readonly max_abs: number;
  readonly metrics: Metrics;
  readonly flags: readonly string[];
  readonly weight: number | null;
}

/** In one statement: two would show an assignment that is accepted and has no update. */
const selectAssignments = Prisma.sql`
  SELECT a.id, a.run_id, a.round, a.attempt, a.client_id, a.role::text, a.kind::text,
         a.base_version, a.state::text, a.report,
         u.sha256, u.bytes, u.received_at, u.error, u.num_examples, u.num_steps,
         u.norm, u.max_abs, u.metrics, u.flags, u.weight
  FROM assignments a LEFT JOIN updates u ON u.assignment_id = a.id`;

function toAssignment(row: AssignmentRow): AssignmentRecord {
  return {
    id: row.id,
    runId: row.run_id,
    round: row.round,
    attempt: row.attempt,
    clientId: row.client_id,
    role: row.role,
    kind: row.kind,
    baseVersion: row.base_version,
    state: row.state,
    update: row.sha256 === null ? null : toUpdate(row, row.sha256),
    report: row.report,
  };
}

function toUpdate(row: AssignmentRow, sha256: string): UpdateRow {
  return {
    sha256,
    bytes: Number(row.bytes),
    receivedAt: row.received_at.getTime(),
    error: row.error,
    numExamples: Number(row.num_examples),
    numSteps: Number(row.num_steps),
    norm: row.norm,
    maxAbs: row.max_abs,
    metrics: row.metrics,
    flags: row.flags,
    weight: row.weight,
  };
}

export async function findAssignments(
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
