/** The ledgers in Postgres: one a run, and the coordinator's own. */
import type { EventPage, LedgerStore } from '../../core/ports.js';
import type { NewEvent } from '../../core/records.js';
import { appendEvents, type Sign } from '../ledger-chain.js';
import { noSuchRun } from '../refusals.js';
import { storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { toDate, toEvent, toJson } from './rows.js';

export function ledgerStore(db: Database): LedgerStore {
  return {
    events: (runId, page) =>
      db.query('read the ledger', async (prisma) => {
        const rows = await prisma.ledgerEvent.findMany({
          where: { runId: storableText(runId), ...fromSeq(page) },
          orderBy: { seq: 'asc' },
          take: page?.limit,
        });
        return rows.map(toEvent);
      }),

    eventsOfType: (runId, type) =>
      db.query('read the ledger', async (prisma) => {
        const where = { runId: storableText(runId), type: storableText(type) };
        const rows = await prisma.ledgerEvent.findMany({ where, orderBy: { seq: 'asc' } });
        return rows.map(toEvent);
      }),

    coordinatorEvents: (page) =>
      db.query("read the coordinator's ledger", async (prisma) => {
        const rows = await prisma.coordinatorEvent.findMany({
          where: fromSeq(page),
          orderBy: { seq: 'asc' },
          take: page?.limit,
        });
        return rows.map(toEvent);
      }),

    append: (runId, events) =>
      db.transaction('write to the ledger', (tx) => append(tx, runId, events, db.sign)),

    appendCoordinatorEvents: (events) =>
      db.transaction("write to the coordinator's ledger", (tx) =>
        appendCoordinatorEvents(tx, events, db.sign),
      ),
  };
}

function fromSeq(page: EventPage | undefined) {
  return page && { seq: { gte: page.from } };
}

/**
 * Appends events to a run's chain. Writers of one run wait for each other on its row, else two would
 * follow the same event. NO KEY UPDATE lets others refer to the run meanwhile.
 *
 * @throws TributaryError `run_not_found`
 */
export async function append(
  tx: Tx,
  runId: string,
  events: readonly NewEvent[],
  sign: Sign | null,
): Promise<void> {
  if (events.length === 0) return;
  const found = await tx.$executeRaw`SELECT 1 FROM runs WHERE id = ${runId} FOR NO KEY UPDATE`;
  if (found === 0) throw noSuchRun(runId);
  // A statement of its own, after the lock: it must see what the previous holder committed.
  const head = await tx.ledgerEvent.findFirst({ where: { runId }, ...HEAD });
  const rows = rowsAfter(head, events, sign);
  await tx.ledgerEvent.createMany({ data: rows.map((row) => ({ ...row, runId })) });
}

/** The same for the coordinator's own chain, whose writers wait for each other on its table. */
export async function appendCoordinatorEvents(
  tx: Tx,
  events: readonly NewEvent[],
  sign: Sign | null,
): Promise<void> {
  if (events.length === 0) return;
  // Writers exclude each other, readers go on.
  await tx.$executeRaw`LOCK TABLE coordinator_events IN SHARE ROW EXCLUSIVE MODE`;
  const head = await tx.coordinatorEvent.findFirst(HEAD);
  await tx.coordinatorEvent.createMany({ data: rowsAfter(head, events, sign) });
}

const HEAD = { orderBy: { seq: 'desc' }, select: { seq: true, hash: true } } as const;

function rowsAfter(
  head: Parameters<typeof appendEvents>[0],
  events: readonly NewEvent[],
  sign: Sign | null,
) {
  return appendEvents(head, events, sign).map((event) => ({
    ...event,
    at: toDate(event.at),
    body: toJson(event.body),
  }));
}
