/**
 * Applies the shipped migrations when the coordinator starts, and keeps Prisma's own record of
 * them, so that `prisma migrate status` and `deploy` agree. Prisma's command itself needs an engine
 * that it downloads, and is not there at run time.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { TributaryError } from '../../../protocol/errors.js';
import { type Migration, matches, readMigrations, shippedMigrations } from './migrations.js';

export interface Migrated {
  /** The names of the migrations that this call applied, in order. */
  readonly applied: string[];
}

/** The lock that Prisma's own commands take. */
const advisoryLock = 72707369;
const lockTimeoutMs = 300_000;
/** In Postgres' error codes: a wait was cut short by lock_timeout. */
const lockNotAvailable = '55P03';

const recordTable = `
CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id                  VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum            VARCHAR(64) NOT NULL,
  finished_at         TIMESTAMPTZ,
  migration_name      VARCHAR(255) NOT NULL,
  logs                TEXT,
  rolled_back_at      TIMESTAMPTZ,
  started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
  applied_steps_count INTEGER NOT NULL DEFAULT 0
)`;

/**
 * Brings the database to the schema of this code: each missing migration in a transaction of its
 * own, so that one that fails leaves no trace and can be tried again. Coordinators that start at
 * once wait for each other. The connection must be a session of its own, not a transaction pooler's.
 *
 * @param target a database URL, or a connected client outside of a transaction
 * @throws TributaryError `schema_mismatch` when the database is not one that this code can bring up
 *   to date, or a migration fails; `storage_unavailable` when it cannot be reached
 */
export async function migrate(
  target: string | pg.ClientBase,
  migrationsDir = shippedMigrations(),
): Promise<Migrated> {
  const migrations = await readMigrations(migrationsDir);
  try {
    if (typeof target !== 'string') return await migrateAlone(target, migrations);
    return await withClient(target, (client) => migrateAlone(client, migrations));
  } catch (cause) {
    if (cause instanceof TributaryError) throw cause;
    const message = `the database could not be migrated: ${(cause as Error).message}`;
    throw new TributaryError('storage_unavailable', message, undefined, { cause });
  }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 30_000 });
  // Without a listener, a server that goes away would end the whole process; the query fails too.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function migrateAlone(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<Migrated> {
  await takeLock(client);
  try {
    await client.query(recordTable);
    const done = await checkHistory(client, migrations);
    const applied: string[] = [];
    for (const migration of migrations) {
      if (done.has(migration.name)) continue;
      await apply(client, migration);
      applied.push(migration.name);
    }
    return { applied };
  } finally {
    // Fails only with the connection, and then the server has freed the lock.
    await client.query('SELECT pg_advisory_unlock($1)', [advisoryLock]).catch(() => undefined);
  }
}

async function takeLock(client: pg.ClientBase): Promise<void> {
  // The lock belongs to the session and outlives this transaction; the time limit does not.
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    await client.query('SELECT pg_advisory_lock($1)', [advisoryLock]);
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK').catch(() => undefined);
    if ((cause as pg.DatabaseError).code !== lockNotAvailable) throw cause;
    throw new TributaryError(
      'storage_unavailable',
      `another process has been migrating the database for ${lockTimeoutMs / 1000} s: wait for ` +
        `it, or end the session that holds advisory lock ${advisoryLock}`,
      undefined,
      { cause },
    );
  }
}

interface Applied {
  migration_name: string;
  checksum: string;
  finished: boolean;
}

/** @returns the names of the migrations that are applied, after all of them were found in order */
async function checkHistory(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<Set<string>> {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  const { rows } = await client.query<Applied>(
    `SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  );
  for (const row of rows) {
    const name = row.migration_name;
    const migration = known.get(name);
    if (!row.finished) {
      throw mismatch(
        name,
        `the migration ${name} failed half-way when Prisma's command applied it: repair the ` +
          `database by hand, then run "npx prisma migrate resolve --rolled-back ${name}"`,
      );
    }
    if (!migration) {
      throw mismatch(
        name,
        `the database has the migration ${name}, which this version does not know: it was used ` +
          'by a newer version of Tributary; start that version, or restore an older backup',
      );
    }
    if (!matches(migration, row.checksum)) {
      throw mismatch(
        name,
        `the migration ${name} was changed after it was applied to this database: restore the ` +
          'file as it was, and put the change into a new migration',
      );
    }
  }
  return new Set(rows.map((row) => row.migration_name));
}

async function apply(client: pg.ClientBase, { name, sql, checksum }: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id() AS xid');
    // All of it in one message: splitting at semicolons would break function bodies.
    await client.query(sql);
    const after = await client.query<{ inside: boolean | null }>(
      'SELECT pg_current_xact_id_if_assigned() = $1::xid8 AS inside',
      [rows[0].xid],
    );
    if (!after.rows[0].inside) {
      throw mismatch(name, `the migration ${name} ends its own transaction: remove its COMMIT`);
    }
    await client.query(
      `INSERT INTO _prisma_migrations
         (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK').catch(() => undefined);
    // Anything else than the server's verdict on the SQL is a lost connection.
    if (!(cause instanceof pg.DatabaseError)) throw cause;
    throw mismatch(
      name,
      `the migration ${name} failed and was rolled back: ${(cause as Error).message}`,
      cause,
    );
  }
}

function mismatch(migration: string, message: string, cause?: unknown): TributaryError {
  return new TributaryError('schema_mismatch', message, { migration }, { cause });
}
