/** Between rows and the records of the ports. */
import type { RunSpec } from '../../../protocol/run.js';
import type {
  Checkpoint,
  EnrolledClient,
  LedgerEvent,
  Operator,
  Run,
  StoredBlob,
} from '../../core/records.js';
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
  const spec = { ...completed(row.spec as unknown as StoredSpec), task: row.task.body } as RunSpec;
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

type StoredSpec = Omit<RunSpec, 'task' | 'cohort'> & {
  readonly cohort: Omit<RunSpec['cohort'], 'overSelection'>;
};

/**
 * Runs of earlier releases say nothing of what came later: they go on as they began. Clients of that
 * time send no heartbeats, so their lease lasts as long as a round.
 */
function completed(spec: StoredSpec): Omit<RunSpec, 'task'> {
  return {
    ...{ after: [], join: 'token', keepCheckpoints: 'all', leaseMs: spec.deadlineMs },
    ...spec,
    cohort: { overSelection: 1, ...spec.cohort },
  };
}

export function toClient(row: Omit<rows.ClientModel, 'tokenHash'>): EnrolledClient {
  const { runId, id, role, state, tokenExpiresAt, enrolledAt } = row;
  return {
    ...{ runId, id, role, state },
    tokenExpiresAt: tokenExpiresAt?.getTime() ?? null,
    enrolledAt: enrolledAt.getTime(),
  };
}

export function toOperator(row: Omit<rows.OperatorModel, 'tokenHash'>): Operator {
  const { name, role, revoked, createdAt, tokenExpiresAt } = row;
  return {
    ...{ name, role, revoked },
    createdAt: createdAt.getTime(),
    tokenExpiresAt: tokenExpiresAt?.getTime() ?? null,
  };
}

export function toCheckpoint(row: rows.CheckpointModel): Checkpoint {
  const { runId, version, sha256, stateSha256, broadcastSha256, broadcastBytes, collected } = row;
  const broadcast = broadcastSha256 === null ? null : toStored(broadcastSha256, broadcastBytes);
  return { runId, version, sha256, bytes: Number(row.bytes), stateSha256, broadcast, collected };
}

function toStored(sha256: string, bytes: bigint | null): StoredBlob {
  return { sha256, bytes: Number(bytes) };
}

export function toEvent(row: rows.CoordinatorEventModel): LedgerEvent {
  const { seq, type, prevHash, hash, signature, keyId } = row;
  const body = row.body as LedgerEvent['body'];
  return { seq, at: row.at.getTime(), type, body, prevHash, hash, signature, keyId };
}

export function toRound(
  row: Omit<rows.RoundModel, 'matrices' | 'coefficients'>,
  tally: readonly TallyRow[],
): Round {
  const { runId, number, attempt, phase, revision, baseVersion, version, reason } = row;
  return {
    runId,
    number,
    attempt,
    phase,
    revision,
    baseVersion,
    wanted: row.wanted,
    version,
    openedAt: row.openedAt.getTime(),
    notBefore: row.notBefore.getTime(),
    deadline: row.deadline?.getTime() ?? null,
    closedAt: row.closedAt?.getTime() ?? null,
    reason,
    tally,
  };
}
