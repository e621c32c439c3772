/** Rounds: reading them, and the compare-and-swap by which they move on. */
import { roundPhase } from '../../../protocol/run.js';
import type {
  Checkpoint,
  PooledEvaluation,
  RoundChanges,
  RoundRecord,
  RoundStore,
} from '../../core/ports.js';
import type { Round, TallyRow } from '../../core/round.js';
import { needsUpdates } from '../../core/round.js';
import { Prisma } from '../generated/prisma/client.js';
import type { Sign } from '../ledger-chain.js';
import { sortedTally } from '../order.js';
import { storableJson, storableText } from '../storable.js';
import { insertAssignments, setWeights } from './assignment-rows.js';
import type { Database, Tx } from './database.js';
import type { Lead } from './fence.js';
import { leadOf } from './fence.js';
import { append } from './ledger.js';
import { toCheckpoint, toDate, toDateOrNull, toJson, toRound } from './rows.js';
import { isStill } from './run-status.js';

type RoundVerbs = Pick<
  RoundStore,
  'currentRound' | 'settledRound' | 'rounds' | 'evaluations' | 'commit'
>;

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

    rounds: (runId) =>
      db.query('list the rounds', async (prisma) => {
        const id = storableText(runId);
        const rows = await prisma.round.findMany({
          where: { runId: id },
          include: { checkpoint: true },
          orderBy: [{ number: 'asc' }, { attempt: 'asc' }],
        });
        const counts = await countAssignments(prisma, Prisma.sql`a.run_id = ${id}`);
        const byRound = grouped(counts);
        return rows.map((row) => toRecord(row, byRound.get(roundKey(row.number, row.attempt))));
      }),

    evaluations: (runId) =>
      db.query('list the evaluations', (prisma) => findEvaluations(prisma, storableText(runId))),

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
  const counts = await countAssignments(
    prisma,
    Prisma.sql`a.run_id = ${row.runId} AND a.round = ${row.number} AND a.attempt = ${row.attempt}`,
  );
  return toRound(row, tallyOf(counts));
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

async function findEvaluations(prisma: Tx, runId: string): Promise<PooledEvaluation[]> {
  const rows = await prisma.$queryRaw<{ evaluation: PooledEvaluation }[]>`
    SELECT evaluation - 'sites' AS evaluation FROM rounds
    WHERE run_id = ${runId} AND phase = 'closed' AND jsonb_typeof(evaluation) = 'object'
    ORDER BY number`;
  return rows.map(({ evaluation }) => evaluation);
}

interface Counted extends TallyRow {
  readonly round: number;
  readonly attempt: number;
  /** Of accepted updates. */
  readonly bytes: bigint;
}

function countAssignments(prisma: Tx, where: Prisma.Sql): Promise<Counted[]> {
  return prisma.$queryRaw`
    SELECT a.round, a.attempt, a.kind::text, a.role::text, a.state::text,
           count(*)::int AS count,
           coalesce(sum(u.bytes) FILTER (WHERE u.status = 'accepted'), 0)::bigint AS bytes
    FROM assignments a LEFT JOIN updates u ON u.assignment_id = a.id
    WHERE ${where}
    GROUP BY a.round, a.attempt, a.kind, a.role, a.state`;
}

function roundKey(number: number, attempt: number): string {
  return `${number}.${attempt}`;
}

function grouped(counts: readonly Counted[]): Map<string, Counted[]> {
  const groups = new Map<string, Counted[]>();
  for (const counted of counts) {
    const key = roundKey(counted.round, counted.attempt);
    const group = groups.get(key);
    if (group) group.push(counted);
    else groups.set(key, [counted]);
  }
  return groups;
}

function tallyOf(counts: readonly Counted[]): TallyRow[] {
  return sortedTally(counts.map(({ kind, role, state, count }) => ({ kind, role, state, count })));
}

type RoundRow = Prisma.RoundGetPayload<{ include: { checkpoint: true } }>;

function toRecord(row: RoundRow, counts: readonly Counted[] = []): RoundRecord {
  return {
    round: toRound(row, tallyOf(counts)),
    checkpoint: row.checkpoint && toCheckpoint(row.checkpoint),
    bytes: counts.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    diagnostics: row.diagnostics as RoundRecord['diagnostics'],
    matrices: row.matrices as unknown as RoundRecord['matrices'],
    coefficients: row.coefficients as RoundRecord['coefficients'],
    evaluation: row.evaluation as RoundRecord['evaluation'],
  };
}
