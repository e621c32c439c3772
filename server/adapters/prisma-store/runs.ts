/** Runs and their checkpoints. */
import type { RunStore } from '../../core/ports.js';
import type { Run } from '../../core/records.js';
import { canonicalJson, sha256OfText } from '../canonical-json.js';
import { sortedRuns } from '../order.js';
import { storableJson, storableText, unchangedJson } from '../storable.js';
import type { Database, Tx } from './database.js';
import { append } from './ledger.js';
import { isInteger32, toCheckpoint, toDate, toJson, toRun } from './rows.js';
import { insertCheckpoint, insertRound } from './rounds.js';
import { setStatus } from './run-status.js';

export function runStore(db: Database): Omit<RunStore, 'versions'> {
  return {
    createRun: (run, checkpoint, round, events) =>
      db.transaction('create a run', async (tx) => {
        await insertRun(tx, run);
        await insertCheckpoint(tx, checkpoint, null);
        await insertRound(tx, round);
        await append(tx, run.id, events, db.sign);
      }),

    setStatus: (runId, from, to) =>
      db.transaction('change the status of a run', (tx) =>
        setStatus(tx, storableText(runId), from, to, db.sign),
      ),

    run: (id) =>
      db.query('read a run', async (prisma) => {
        const row = await prisma.run.findUnique({
          where: { id: storableText(id) },
          include: { task: true },
        });
        return row && toRun(row);
      }),

    runs: () =>
      db.query('list the runs', async (prisma) => {
        const rows = await prisma.run.findMany({ include: { task: true } });
        return sortedRuns(rows.map(toRun));
      }),

    countRuns: () =>
      db.query('count the runs', async (prisma) => {
        const counts = await prisma.run.groupBy({ by: ['status'], _count: true });
        return Object.fromEntries(counts.map(({ status, _count }) => [status, _count]));
      }),

    checkpoint: (runId, version) =>
      db.query('read a checkpoint', async (prisma) => {
        if (!isInteger32(version)) return null;
        const row = await prisma.checkpoint.findUnique({
          where: { runId_version: { runId: storableText(runId), version } },
        });
        return row && toCheckpoint(row);
      }),
  };
}

async function insertRun(tx: Tx, run: Run): Promise<void> {
  const { task, ...spec } = unchangedJson(run.spec, 'run');
  const taskSha256 = sha256OfText(canonicalJson(task));
  // Runs of one task share it; two that are created at once may both bring it.
  await tx.task.createMany({
    data: [{ sha256: taskSha256, name: task.name, body: toJson(task) }],
    skipDuplicates: true,
  });
  await tx.run.create({
    data: {
      id: run.id,
      name: spec.name,
      taskSha256,
      rule: spec.rule.name,
      spec: toJson(spec),
      status: run.status,
      reason: run.reason === null ? null : storableText(run.reason),
      fold: toJson(storableJson(run.fold, 'fold')),
      oracle: run.oracle === null ? null : storableText(run.oracle),
      createdAt: toDate(run.createdAt),
    },
  });
}
