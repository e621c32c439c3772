/**
 * The lease in Postgres: one row, one holder. Time is the database's, since the clocks of two
 * machines differ; and a holder whose session has ended is gone, however long its lease still runs.
 *
 * Whoever does what only the leader may locks the row FOR KEY SHARE (prisma-store/fence.ts). A
 * renewal passes such locks; a take-over locks FOR UPDATE, so it waits for what the last leader has
 * begun, and what that begins later finds another epoch.
 */
import type pg from 'pg';
import { openSession } from '../postgres-session.js';

/** The row's name: there is one. */
export const LEASE = 'coordinator';

/** Who leads, as far as the row says. */
export interface Leader {
  readonly epoch: number;
  /** null where it did not say. */
  readonly url: string | null;
}

export interface LeaseOptions {
  readonly url: string;
  readonly leaseMs: number;
  /** Made anew with each start of a coordinator. */
  readonly holder: string;
  /** Where this coordinator is reached; null while that is not known. */
  readonly address: () => string | null;
}

/** True for a lease that anybody may take: it ran out, or its holder's session is gone. */
const isFree = `(
  expires_at <= clock_timestamp() OR NOT EXISTS (
    SELECT FROM pg_stat_activity a
    WHERE a.pid = l.backend_pid
      -- Hidden from roles that may not read other roles' sessions: then only time tells.
      AND coalesce(a.backend_start = l.backend_start, true)
  )
)`;
const values = `$2 AS holder, $3 AS url, $4::int AS pid, $5::timestamptz AS start,
  clock_timestamp() + $6 * interval '1 millisecond' AS expires_at`;

/** One session with the database, which is the holder's sign of life. Broken once it fails. */
export class LeaseSession {
  private constructor(
    private readonly client: pg.Client,
    private readonly options: LeaseOptions,
    private readonly backend: { readonly pid: number; readonly start: string },
  ) {}

  static async open(options: LeaseOptions): Promise<LeaseSession> {
    const { url, leaseMs } = options;
    // A take-over may wait for a transaction of the last leader, which ends within a lease.
    const timeoutMs = 2 * leaseMs + 1_000;
    const client = await openSession(url, 'tributary leader', timeoutMs);
    const { rows } = await client.query<{ pid: number; start: string }>(
      `SELECT pid, backend_start::text AS start FROM pg_stat_activity WHERE pid = pg_backend_pid()`,
    );
    return new LeaseSession(client, options, rows[0]);
  }

  /** Who holds the lease, and whether this coordinator may try to take it. */
  async look(): Promise<{ readonly leader: Leader | null; readonly free: boolean }> {
    const { rows } = await this.client.query<{ epoch: string; url: string | null; free: boolean }>(
      `SELECT epoch, url, holder = $2 OR ${isFree} AS free FROM leadership l WHERE name = $1`,
      [LEASE, this.options.holder],
    );
    const row = rows.at(0);
    if (!row) return { leader: null, free: true };
    return { leader: { epoch: Number(row.epoch), url: row.url }, free: row.free };
  }

  /** Takes the lease under a new epoch; null where somebody else was first. */
  async take(): Promise<number | null> {
    const first = await this.#epochOf(
      `INSERT INTO leadership (name, holder, epoch, url, backend_pid, backend_start, expires_at)
       SELECT $1, holder, 1, url, pid, start, expires_at FROM (SELECT ${values}) AS v
       ON CONFLICT (name) DO NOTHING RETURNING epoch`,
    );
    return (
      first ??
      this.#epochOf(
        `WITH held AS (
           SELECT name FROM leadership l WHERE name = $1 AND (holder = $2 OR ${isFree}) FOR UPDATE
         )
         UPDATE leadership l
         SET holder = v.holder, epoch = l.epoch + 1, url = v.url, backend_pid = v.pid,
             backend_start = v.start, expires_at = v.expires_at
         FROM held, (SELECT ${values}) AS v WHERE l.name = held.name RETURNING l.epoch`,
      )
    );
  }

  /** False where the lease is another's by now. */
  async renew(epoch: number): Promise<boolean> {
    const renewed = await this.#epochOf(
      `UPDATE leadership l
       SET url = v.url, backend_pid = v.pid, backend_start = v.start, expires_at = v.expires_at
       FROM (SELECT ${values}) AS v
       WHERE name = $1 AND l.holder = $2 AND epoch = $7 RETURNING epoch`,
      epoch,
    );
    return renewed !== null;
  }

  /** Others may take the lease at once. */
  async release(epoch: number): Promise<void> {
    await this.client.query(
      `UPDATE leadership SET expires_at = clock_timestamp()
       WHERE name = $1 AND holder = $2 AND epoch = $3`,
      [LEASE, this.options.holder, epoch],
    );
  }

  /** Also for a session that is broken: what it waits for is given up. */
  async end(): Promise<void> {
    await this.client.end().catch(() => undefined);
  }

  async #epochOf(sql: string, ...more: number[]): Promise<number | null> {
    const { holder, address, leaseMs } = this.options;
    const { pid, start } = this.backend;
    const given = [LEASE, holder, address(), pid, start, leaseMs, ...more];
    const { rows } = await this.client.query<{ epoch: string }>(sql, given);
    return rows.length > 0 ? Number(rows[0].epoch) : null;
  }
}
