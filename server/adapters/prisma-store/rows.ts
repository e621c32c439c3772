/** Between rows and the records of the ports. */
import type { Metrics, EvaluationReport } from '../../../protocol/update.js';
import type { RunSpec } from '../../../protocol/run.js';
import type { ErrorBody } from '../../../protocol/errors.js';
import type {
  AssignmentRecord,
  Checkpoint,
  Client,
  LedgerEvent,
  Run,
  UpdateRow,
} from '../../core/ports.js';
import type { Round, TallyRow } from '../../core/round.js';
import type { FoldScale } from '../../core/kernels/kernels.js';
import { Prisma } from '../generated/prisma/client.js';
import type * as rows from '../generated/prisma/models.js';

/** A value for a JSON column. Made storable before: this only tells Prisma what it is. */
export function toJson(value: unknown): Prisma.InputJsonValue | typeof Prisma.JsonNull {
  return value === null ? Prisma.JsonNull : (value as Prisma.InputJsonValue);
}

export function toDate(ms: number): Date {
  return new Date(ms);
}

export function toDateOrNull(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

/** Whether a number fits an integer column. One that does not is in no row. */
export function isInteger32(value: number): boolean {
  return (value | 0) === value;
}

export function toRun(row: rows.RunModel & { task: Pick<rows.TaskModel, 'body'> }): Run {
  const spec = { ...(row.spec as object), task: row.task.body } as unknown as RunSpec;
  return {
    id: row.id,
    spec,
    status: row.status,
    reason: row.reason,
    fold: row.fold as unknown as FoldScale,
    oracle: row.oracle,
    createdAt: row.createdAt.getTime(),
  };
}

export function toClient({ runId, id, role }: rows.ClientModel): Client {
  return { runId, id, role };
}

export function toCheckpoint(row: rows.CheckpointModel): Checkpoint {
  const { runId, version, sha256, stateSha256 } = row;
  return { runId, version, sha256, bytes: Number(row.bytes), stateSha256 };
}

export function toEvent(row: rows.LedgerEventModel): LedgerEvent {
  const { seq, type, prevHash, hash } = row;
  return { seq, at: row.at.getTime(), type, body: row.body as LedgerEvent['body'], prevHash, hash };
}

export function toRound(row: rows.RoundModel, tally: readonly TallyRow[]): Round {
  const { runId, number, attempt, phase, revision, baseVersion, version, reason } = row;
  return {
    runId,
    number,
    attempt,
    phase,
    revision,
    baseVersion,
    version,
    openedAt: row.openedAt.getTime(),
    notBefore: row.notBefore.getTime(),
    deadline: row.deadline?.getTime() ?? null,
    closedAt: row.closedAt?.getTime() ?? null,
    reason,
    tally,
  };
}

/** An assignment beside its update, as {@link assignmentColumns} selects them. */
export interface AssignmentRow {
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
  readonly weight: number | null;
}

/** In one statement: two would show an assignment that is accepted and has no update. */
export const selectAssignments = Prisma.sql`
  SELECT a.id, a.run_id, a.round, a.attempt, a.client_id, a.role::text, a.kind::text,
         a.base_version, a.state::text, a.report,
         u.sha256, u.bytes, u.received_at, u.error, u.num_examples, u.num_steps,
         u.norm, u.max_abs, u.metrics, u.weight
  FROM assignments a LEFT JOIN updates u ON u.assignment_id = a.id`;

export function toAssignment(row: AssignmentRow): AssignmentRecord {
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
    weight: row.weight,
  };
}
