/** Rounds as they are listed, with what their assignments add up to. */
import type { RoundStore, RunStore } from '../../core/ports.js';
import type {
  ListedRound,
  PooledEvaluation,
  RoundHistory,
  RoundPage,
  RoundRecord,
} from '../../core/records.js';
import type { TallyRow } from '../../core/round.js';
import { Prisma } from '../generated/prisma/client.js';
import { pagePlace, sortedTally } from '../order.js';
import { storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { isInteger32, toCheckpoint, toRound } from './rows.js';

type HistoryVerbs = Pick<RoundStore, 'rounds' | 'listRounds' | 'round' | 'evaluations'> &
  Pick<RunStore, 'versions'>;

const oldestFirst = [{ number: 'asc' }, { attempt: 'asc' }] as const;
const newestFirst = [{ number: 'desc' }, { attempt: 'desc' }] as const;
/** What a round is listed without is not read: it may be megabytes. */
const asListed = {
  include: { checkpoint: true },
  omit: { matrices: true, coefficients: true },
} as const;

export function historyStore(db: Database): HistoryVerbs {
  return {
    rounds: (runId) =>
      db.query('read the rounds', (prisma) => wholeRounds(prisma, storableText(runId))),

    listRounds: (runId, page) =>
      db.query('list the rounds', (prisma) => roundsOf(prisma, storableText(runId), page)),

    round: (runId, number, attempt) =>
      db.query('read a round', async (prisma) => {
        if (!isInteger32(number) || !isInteger32(attempt ?? 0)) return null;
        const row = await prisma.round.findFirst({
          where: { runId: storableText(runId), number, ...(attempt !== undefined && { attempt }) },
          orderBy: [...newestFirst],
          ...asListed,
        });
        return row && toListed(row, await countAssignments(prisma, atRound(row)));
      }),

    versions: () => db.query('read the versions of the runs', findVersions),

    evaluations: (runId) =>
      db.query('list the evaluations', (prisma) => findEvaluations(prisma, storableText(runId))),
  };
}

async function wholeRounds(prisma: Tx, runId: string): Promise<RoundRecord[]> {
  const rows = await prisma.round.findMany({
    where: { runId },
    include: { checkpoint: true },
    orderBy: [...oldestFirst],
  });
  const counts = grouped(await countAssignments(prisma, Prisma.sql`a.run_id = ${runId}`));
  return rows.map((row) => ({
    ...toListed(row, counts.get(roundKey(row.number, row.attempt))),
    matrices: row.matrices as unknown as RoundRecord['matrices'],
    coefficients: row.coefficients as RoundRecord['coefficients'],
  }));
}

/** Counted first: a round that is added meanwhile moves no other's place. */
async function roundsOf(prisma: Tx, runId: string, page: RoundPage): Promise<RoundHistory> {
  const inAll = await prisma.round.count({ where: { runId } });
  const from = pagePlace(page, inAll);
  const rows = await prisma.round.findMany({
    where: { runId },
    orderBy: [...oldestFirst],
    skip: from - 1,
    take: page.limit,
    ...asListed,
  });
  const [first, last] = [rows.at(0), rows.at(-1)];
  if (!first || !last) return { inAll, from, rounds: [] };
  const counts = grouped(await countAssignments(prisma, betweenRounds(first, last)));
  const rounds = rows.map((row) => toListed(row, counts.get(roundKey(row.number, row.attempt))));
  return { inAll, from, rounds };
}

/** By the index for each run: to look at all rounds of all runs would take seconds. */
async function findVersions(prisma: Tx): Promise<Map<string, number>> {
  const rows = await prisma.$queryRaw<{ id: string; version: number }[]>`
    SELECT r.id, newest.version
    FROM runs r CROSS JOIN LATERAL (
      SELECT coalesce(version, base_version) AS version FROM rounds
      WHERE run_id = r.id ORDER BY number DESC, attempt DESC LIMIT 1
    ) newest`;
  return new Map(rows.map(({ id, version }) => [id, version]));
}

async function findEvaluations(prisma: Tx, runId: string): Promise<PooledEvaluation[]> {
  const rows = await prisma.$queryRaw<{ evaluation: PooledEvaluation }[]>`
    SELECT evaluation - 'sites' AS evaluation FROM rounds
    WHERE run_id = ${runId} AND phase = 'closed' AND jsonb_typeof(evaluation) = 'object'
    ORDER BY number`;
  return rows.map(({ evaluation }) => evaluation);
}

/** Which round an assignment belongs to. */
type Place = Pick<RoundRow, 'runId' | 'number' | 'attempt'>;

export function atRound({ runId, number, attempt }: Place): Prisma.Sql {
  return Prisma.sql`a.run_id = ${runId} AND a.round = ${number} AND a.attempt = ${attempt}`;
}

function betweenRounds(first: Place, last: Place): Prisma.Sql {
  return Prisma.sql`a.run_id = ${first.runId}
    AND (a.round, a.attempt) BETWEEN (${first.number}::int, ${first.attempt}::int)
                                 AND (${last.number}::int, ${last.attempt}::int)`;
}

interface Counted extends TallyRow {
  readonly round: number;
  readonly attempt: number;
  /** Of accepted updates. */
  readonly bytes: bigint;
}

export function countAssignments(prisma: Tx, where: Prisma.Sql): Promise<Counted[]> {
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

export function tallyOf(counts: readonly Counted[]): TallyRow[] {
  return sortedTally(counts.map(({ kind, role, state, count }) => ({ kind, role, state, count })));
}

type RoundRow = Prisma.RoundGetPayload<typeof asListed>;

function toListed(row: RoundRow, counts: readonly Counted[] = []): ListedRound {
  return {
    round: toRound(row, tallyOf(counts)),
    checkpoint: row.checkpoint && toCheckpoint(row.checkpoint),
    bytes: counts.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    diagnostics: row.diagnostics as ListedRound['diagnostics'],
    evaluation: row.evaluation as ListedRound['evaluation'],
  };
}
