/**
 * The store on Postgres, through Prisma. The SQL is in prisma-store/, one file a part of the port.
 * Receipts and commits are on the disk when their promise resolves: synchronous_commit is left as
 * the server has it, which is on.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { Store } from '../core/ports.js';
import type { Sign } from './ledger-chain.js';
import type { SessionLimits } from './postgres-session.js';
import { assignmentStore } from './prisma-store/assignments.js';
import { clientStore } from './prisma-store/clients.js';
import { type Database, openDatabase } from './prisma-store/database.js';
import type { Fence } from './prisma-store/fence.js';
import { ledgerStore } from './prisma-store/ledger.js';
import { operatorStore } from './prisma-store/operators.js';
import { retentionStore } from './prisma-store/retention.js';
import { historyStore } from './prisma-store/round-history.js';
import { roundStore } from './prisma-store/rounds.js';
import { runStore } from './prisma-store/runs.js';

export interface PrismaStoreOptions {
  /** A database with the migrations applied (adapters/postgres/migrator.ts). */
  readonly url: string;
  /** Most connections of this process to it. */
  readonly connections?: number;
  /** Signs the ledgers' events (ledger-key.ts); without it they are not signed. */
  readonly sign?: Sign | undefined;
  /** Refuses what only the leader may store; without it nobody else has the store. */
  readonly fence?: Fence;
  /** Where others wait for the locks of a process that stands still, or was killed. */
  readonly limits?: SessionLimits;
}

/**
 * Every verb throws `storage_unavailable` where the database cannot be reached or fails, `conflict`
 * where a change contradicts what is stored; what only the leader may do, `standby` behind a fence.
 *
 * @throws TributaryError `storage_unavailable` where the database cannot be reached,
 * `schema_mismatch` where it lacks our tables.
 */
export async function createPrismaStore({
  url,
  connections = 10,
  sign,
  fence,
  limits,
}: PrismaStoreOptions): Promise<Store> {
  const shown = { sign: sign ?? null, fence: fence ?? null };
  const db = openDatabase({ url, connections, limits, ...shown });
  try {
    await requireTables(db);
  } catch (error) {
    await db.close();
    throw error;
  }
  return {
    ...runStore(db),
    ...clientStore(db),
    ...operatorStore(db),
    ...roundStore(db),
    ...historyStore(db),
    ...assignmentStore(db),
    ...ledgerStore(db),
    ...retentionStore(db),
    close: () => db.close(),
  };
}

async function requireTables(db: Database): Promise<void> {
  const [{ there }] = await db.query(
    'look for the tables',
    (prisma) => prisma.$queryRaw<[{ there: boolean }]>`
      SELECT to_regclass('runs') IS NOT NULL AS there`,
  );
  if (!there) throw new TributaryError('schema_mismatch', 'the database has no table "runs"');
}
