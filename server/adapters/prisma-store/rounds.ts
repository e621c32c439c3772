/** The round that a run is at, and the compare-and-swap by which rounds move on. */
import { roundPhase } from '../../../protocol/run.js';
import type { RoundStore } from '../../core/ports.js';
import type { Checkpoint, RoundChanges } from '../../core/records.js';
import type { Round } from '../../core/round.js';
import { needsUpdates } from '../../core/round.js';
import type { Prisma } from '../generated/prisma/client.js';
import type { Sign } from '../ledger-chain.js';
import { storableJson, storableText } from '../storable.js';
import { insertAssignments, setWeights } from './assignment-rows.js';
import type { Database, Tx } from './database.js';
import type { Lead } from './fence.js';
import { leadOf } from './fence.js';
import { append } from './ledger.js';
import { atRound, countAssignments, tallyOf } from './round-history.js';
import { toDate, toDateOrNull, toJson, toRound } from './rows.js';
import { isStill } from './run-status.js';

type RoundVerbs = Pick<RoundStore, 'currentRound' | 'settledRound' | 'commit'>;

const settled = roundPhase.options.filter((phase) => !needsUpdates({ phase }));

export function roundStore(db: Database): RoundVerbs {
  return {
    currentRound: (runId) =>
      db.query('read the current round', (prisma) =>
        newestRound(prisma, { runId: storableText(runId) }),
      ),

    settledRound: (runId) =>
      db.query('read the last round that was settled', (prisma) =>
        newestRound(prisma, { runId: storableText(runId), phase: { in: settled } }),
      ),

    commit: (round, changes) =>
      db.transaction('commit a round', async (tx) => {
        const { onlyWhile } = changes;
        if (onlyWhile && !(await isStill(tx, round, onlyWhile))) return false;
        const lead = leadOf(changes.byOperator ? null : db.fence);
        if (!(await takeRevision(tx, round, lead))) return false;
        await writeChanges(tx, round, changes, db.sign);
        return true;
      }),
  };
}

async function newestRound(prisma: Tx, where: Prisma.RoundWhereInput): Promise<Round | null> {
  const row = await prisma.round.findFirst({
    where,
    orderBy: [{ number: 'desc' }, { attempt: 'desc' }],
  });
  if (!row) return null;
  return toRound(row, tallyOf(await countAssignments(prisma, atRound(row))));
}

/**
 * The compare-and-swap. Its lock on the row also ends the receipts of a collection that closes: one
 * that holds its share of the lock is waited for, one that comes later sees the new phase.
 *
 * @throws TributaryError `standby`
 */
async function takeRevision(
  tx: Tx,
  { runId, number, attempt, revision }: Round,
  lead: Lead,
): Promise<boolean> {
  const [{ leads, taken }] = await tx.$queryRaw<[{ leads: boolean; taken: boolean }]>`
    WITH lead AS (${lead.row}),
    taken AS (
      UPDATE rounds SET revision = ${revision}
      WHERE run_id = ${runId} AND number = ${number} AND attempt = ${attempt}
        AND revision = ${revision - 1} AND EXISTS (SELECT FROM lead)
      RETURNING 1
    )
    SELECT EXISTS (SELECT FROM lead) AS leads, EXISTS (SELECT FROM taken) AS taken`;
  lead.check(leads);
  return taken;
}

async function writeChanges(
  tx: Tx,
  round: Round,
  changes: RoundChanges,
  sign: Sign | null,
): Promise<void> {
  const { runId, number, attempt } = round;
  if (changes.checkpoint) await insertCheckpoint(tx, changes.checkpoint, number);
  await tx.round.update({
    where: { runId_number_attempt: { runId, number, attempt } },
    data: { ...roundColumns(round), ...resultColumns(changes) },
  });
  if (changes.assignments) await insertAssignments(tx, changes.assignments);
  if (changes.weights) await setWeights(tx, round, changes.weights);
  if (changes.next) await insertRound(tx, changes.next);
  if (changes.run) {
    const { status, reason } = changes.run;
    await tx.run.update({
      where: { id: runId },
      data: { status, reason: reason === null ? null : storableText(reason) },
    });
  }
  if (changes.events) await append(tx, runId, changes.events, sign);
}

export async function insertRound(tx: Tx, round: Round): Promise<void> {
  const { runId, number, attempt } = round;
  await tx.round.create({ data: { runId, number, attempt, ...roundColumns(round) } });
}

export async function insertCheckpoint(
  tx: Tx,
  { runId, version, sha256, bytes, stateSha256, broadcast }: Checkpoint,
  round: number | null,
): Promise<void> {
  const sent = broadcast && { broadcastSha256: broadcast.sha256, broadcastBytes: broadcast.bytes };
  await tx.checkpoint.create({
    data: { runId, version, round, sha256, bytes, stateSha256, ...sent },
  });
}

function roundColumns(round: Round) {
  return {
    phase: round.phase,
    revision: round.revision,
    baseVersion: round.baseVersion,
    wanted: round.wanted,
    version: round.version,
    openedAt: toDate(round.openedAt),
    notBefore: toDate(round.notBefore),
    deadline: toDateOrNull(round.deadline),
    closedAt: toDateOrNull(round.closedAt),
    reason: round.reason === null ? null : storableText(round.reason),
  };
}

/** Only what a transition brings: the others keep what an earlier one stored. */
function resultColumns(changes: RoundChanges) {
  const { diagnostics, matrices, coefficients, evaluation } = changes;
  return {
    ...(diagnostics && { diagnostics: toJson(storableJson(diagnostics, 'diagnostics')) }),
    ...(matrices && { matrices: toJson(storableJson(matrices, 'matrices')) }),
    ...(coefficients && { coefficients: toJson(storableJson(coefficients, 'coefficients')) }),
    ...(evaluation && { evaluation: toJson(storableJson(evaluation, 'evaluation')) }),
  };
}
