/**
 * What only the leader may store. The check is part of the statement that it guards, and holds until
 * its transaction ends: between a check and a commit, another coordinator could have taken over.
 */
import { TributaryError } from '../../../protocol/errors.js';
import { Prisma } from '../generated/prisma/client.js';
import { LEASE } from '../leadership/lease.js';
import type { Tx } from './database.js';

/** What the store asks of whoever knows who leads. */
export interface Fence {
  /** Under which this process leads; null where it does not. Raised by one with each new leader. */
  epoch(): number | null;
  /** Told where the database says that this epoch is over. */
  refused(epoch: number): void;
}

/** The right to lead at one moment, to be checked by the database. */
export interface Lead {
  /** A query that has a row while the right holds; it goes into a CTE. */
  readonly row: Prisma.Sql;
  /** @throws TributaryError `standby` where the database found no row. */
  check(found: boolean): void;
}

/**
 * @param fence null: everybody leads: nobody else has the store
 * @throws TributaryError `standby`
 */
export function leadOf(fence: Fence | null): Lead {
  if (!fence) return { row: Prisma.sql`SELECT 1`, check: () => undefined };
  const epoch = fence.epoch();
  if (epoch === null) throw standby('this coordinator does not lead');
  return {
    row: Prisma.sql`
      SELECT 1 FROM leadership WHERE name = ${LEASE} AND epoch = ${epoch}::bigint FOR KEY SHARE`,
    check: (found) => {
      if (found) return;
      fence.refused(epoch);
      throw standby('another coordinator leads by now: nothing was stored');
    },
  };
}

/** For a transaction of several statements: its first one. @throws TributaryError `standby` */
export async function requireLead(tx: Tx, fence: Fence | null): Promise<void> {
  if (!fence) return;
  const lead = leadOf(fence);
  lead.check((await tx.$queryRaw<unknown[]>(lead.row)).length > 0);
}

function standby(message: string): TributaryError {
  return new TributaryError('standby', message);
}
