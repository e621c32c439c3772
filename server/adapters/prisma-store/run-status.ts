/** The status of a run, where it changes apart from a round: paused and resumed. */
import type { RunStatus } from '../../../protocol/run.js';
import type { NewStatus } from '../../core/ports.js';
import type { Round } from '../../core/round.js';
import type { Sign } from '../ledger-chain.js';
import { storableText } from '../storable.js';
import type { Tx } from './database.js';
import { append } from './ledger.js';

export async function setStatus(
  tx: Tx,
  runId: string,
  from: readonly RunStatus[],
  { status, reason, event }: NewStatus,
  sign: Sign | null,
): Promise<boolean> {
  const { count } = await tx.run.updateMany({
    where: { id: runId, status: { in: [...from] } },
    data: { status, reason: reason === null ? null : storableText(reason) },
  });
  if (count === 0) return false;
  await append(tx, runId, [event], sign);
  return true;
}

/**
 * Whether a run has this status, and has it until the transaction ends. Its round is locked before
 * it, as every commit does: in the other order, two of them could wait for each other.
 */
export async function isStill(
  tx: Tx,
  { runId, number, attempt }: Round,
  status: RunStatus,
): Promise<boolean> {
  await tx.$executeRaw`
    SELECT 1 FROM rounds
    WHERE run_id = ${runId} AND number = ${number} AND attempt = ${attempt} FOR NO KEY UPDATE`;
  const found = await tx.$executeRaw`
    SELECT 1 FROM runs WHERE id = ${runId} AND status = ${status}::run_status FOR NO KEY UPDATE`;
  return found === 1;
}
