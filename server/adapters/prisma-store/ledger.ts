/** The ledger in Postgres. */
import type { NewEvent } from '../../core/ports.js';
import { appendEvents } from '../ledger-chain.js';
import { noSuchRun } from '../refusals.js';
import type { Tx } from './database.js';
import { toDate, toJson } from './rows.js';

/**
 * Appends events to a run's chain. Writers of one run wait for each other on its row, else two would
 * follow the same event. NO KEY UPDATE lets others refer to the run meanwhile.
 *
 * @throws TributaryError `run_not_found`
 */
export async function append(tx: Tx, runId: string, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return;
  const found = await tx.$executeRaw`SELECT 1 FROM runs WHERE id = ${runId} FOR NO KEY UPDATE`;
  if (found === 0) throw noSuchRun(runId);
  // A statement of its own, after the lock: it must see what the previous holder committed.
  const head = await tx.ledgerEvent.findFirst({
    where: { runId },
    orderBy: { seq: 'desc' },
    select: { seq: true, hash: true },
  });
  await tx.ledgerEvent.createMany({
    data: appendEvents(head, events).map((event) => ({
      ...event,
      runId,
      at: toDate(event.at),
      body: toJson(event.body),
    })),
  });
}
