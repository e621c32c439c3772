/** The connection pool: every query and transaction of the store goes through here. */
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient, type Prisma } from '../generated/prisma/client.js';
import type { Sign } from '../ledger-chain.js';
import type { SessionLimits } from '../postgres-session.js';
import { connectionTimeoutMs, sessionPool } from '../postgres-session.js';
import { asStorageError } from './errors.js';
import type { Fence } from './fence.js';

export type Tx = Prisma.TransactionClient;

export interface Database {
  /** Signs what is appended to the ledgers; null leaves it unsigned. */
  readonly sign: Sign | null;
  /** What only the leader may store is refused by it; null where nobody else has the store. */
  readonly fence: Fence | null;
  /** One statement, or several that need no common transaction. `what` completes "cannot …". */
  query<T>(what: string, work: (prisma: Tx) => Promise<T>): Promise<T>;
  /** All or nothing, at READ COMMITTED: what must not move is locked. */
  transaction<T>(what: string, work: (tx: Tx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  /** Most connections; as many receipts are written at once. */
  readonly connections: number;
  readonly sign: Sign | null;
  readonly fence: Fence | null;
  readonly limits?: SessionLimits | undefined;
}

/** A transaction that takes longer is rolled back, so that its locks cannot stay. */
const transactionTimeoutMs = 60_000;

export function openDatabase({ url, connections, sign, fence, limits }: DatabaseOptions): Database {
  const pool = sessionPool(url, connections, 'tributary', limits);
  const adapter = new PrismaPg(pool);
  const prisma = new PrismaClient({
    adapter,
    transactionOptions: { maxWait: connectionTimeoutMs, timeout: transactionTimeoutMs },
  });
  return {
    sign,
    fence,
    query: (what, work) => explained(what, () => work(prisma)),
    transaction: (what, work) => explained(what, () => prisma.$transaction(work)),
    close: () => prisma.$disconnect(),
  };
}

async function explained<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asStorageError(error, what);
  }
}
