/** Between rows and the records of the ports. */
import type { RunSpec } from '../../../protocol/run.js';
import type { Checkpoint, Client, LedgerEvent, Run, StoredBlob } from '../../core/ports.js';
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
  // Runs of a release before `after` say nothing of it.
  const spec = { after: [], ...(row.spec as object), task: row.task.body } as unknown as RunSpec;
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
  const { runId, version, sha256, stateSha256, broadcastSha256, broadcastBytes } = row;
  const broadcast = broadcastSha256 === null ? null : toStored(broadcastSha256, broadcastBytes);
  return { runId, version, sha256, bytes: Number(row.bytes), stateSha256, broadcast };
}

function toStored(sha256: string, bytes: bigint | null): StoredBlob {
  return { sha256, bytes: Number(bytes) };
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
