import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shippedMigrations, readMigrations } from '../../server/adapters/postgres/migrations.js';
import { migrate } from '../../server/adapters/postgres/migrator.js';
import { type TestDatabase, emptyDatabase, testDatabase } from '../support/postgres.js';
import { prismaDeploy, prismaStatus } from '../support/prisma-engine.js';
import { runSql } from '../support/sql.js';

let database: TestDatabase;
let url: string;
let migrationsDir: string;

beforeEach(async () => {
  database = await emptyDatabase();
  url = database.url;
  migrationsDir = await mkdtemp(join(tmpdir(), 'tributary-migrations-'));
  await writeMigration('1_first', 'CREATE TABLE first (id int);');
  await writeMigration('2_second', 'CREATE TABLE second (id int);\nINSERT INTO second VALUES (7);');
});

afterEach(async () => {
  await database.drop();
  await rm(migrationsDir, { recursive: true });
});

async function writeMigration(name: string, sql: string): Promise<void> {
  await mkdir(join(migrationsDir, name), { recursive: true });
  await writeFile(join(migrationsDir, name, 'migration.sql'), sql);
}

async function tables(): Promise<string[]> {
  const rows = await runSql<{ name: string }>(
    url,
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_name <> '_prisma_migrations' ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

const both = ['1_first', '2_second'];

describe('migrate', () => {
  it('applies what is missing in the order of names, once', async () => {
    expect(await migrate(url, migrationsDir)).toEqual({ applied: both });
    expect(await migrate(url, migrationsDir)).toEqual({ applied: [] });
    expect(await tables()).toEqual(['first', 'second']);

    await writeMigration('3_third', 'ALTER TABLE first ADD COLUMN more text;');
    expect(await migrate(url, migrationsDir)).toEqual({ applied: ['3_third'] });
  });

  it("takes a caller's connection and leaves it open", async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      expect(await migrate(client, migrationsDir)).toEqual({ applied: both });
      expect((await client.query('SELECT id FROM second')).rows).toEqual([{ id: 7 }]);
      expect((await client.query('SHOW lock_timeout')).rows).toEqual([{ lock_timeout: '0' }]);
    } finally {
      await client.end();
    }
  });

  it('applies each migration once when several start at once', async () => {
    await writeMigration('3_slow', 'SELECT pg_sleep(0.2); CREATE TABLE third (id int);');

    const results = await Promise.all([1, 2, 3].map(() => migrate(url, migrationsDir)));

    const applied = results.map((result) => result.applied).sort((a, b) => a.length - b.length);
    expect(applied).toEqual([[], [], [...both, '3_slow']]);
    const [{ count }] = await runSql(url, 'SELECT count(*)::int AS count FROM _prisma_migrations');
    expect(count).toBe(3);
  });

  it('rolls a failed migration back whole, keeps those before it, and can try again', async () => {
    await writeMigration('3_third', 'CREATE TABLE third (id int);\nSELECT 1 / 0;');

    await expect(migrate(url, migrationsDir)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringMatching(/3_third.*division by zero/) as string,
    });

    expect(await tables()).toEqual(['first', 'second']);
    await writeMigration('3_third', 'CREATE TABLE third (id int);');
    expect(await migrate(url, migrationsDir)).toEqual({ applied: ['3_third'] });
    expect(await tables()).toEqual(['first', 'second', 'third']);
  });

  it('runs function bodies, whose semicolons end no statement', async () => {
    await writeMigration(
      '3_function',
      `CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$
       BEGIN
         PERFORM 1; RETURN 2 * n;
       END $$;`,
    );

    await migrate(url, migrationsDir);

    expect(await runSql(url, 'SELECT twice(21) AS answer')).toEqual([{ answer: 42 }]);
  });

  it('refuses a migration that would end its own transaction', async () => {
    await writeMigration('3_commit', 'CREATE TABLE third (id int); COMMIT;');

    await expect(migrate(url, migrationsDir)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringContaining('3_commit ends its own transaction') as string,
    });
  });

  it('refuses a database in which a migration was applied that has changed since', async () => {
    await migrate(url, migrationsDir);
    await writeMigration('1_first', 'CREATE TABLE first (id bigint);');

    await expect(migrate(url, migrationsDir)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringContaining('1_first was changed after it was applied') as string,
      details: { migration: '1_first' },
    });
  });

  it('does not take other line endings for a change', async () => {
    await migrate(url, migrationsDir);
    const file = join(migrationsDir, '2_second', 'migration.sql');
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('\n', '\r\n'));

    expect(await migrate(url, migrationsDir)).toEqual({ applied: [] });
  });

  it('refuses a database that a newer version has migrated, and leaves it alone', async () => {
    await migrate(url, migrationsDir);
    await rm(join(migrationsDir, '2_second'), { recursive: true });
    await writeMigration('3_third', 'CREATE TABLE third (id int);');

    await expect(migrate(url, migrationsDir)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringMatching(/2_second.*newer version of Tributary/) as string,
    });
    expect(await tables()).toEqual(['first', 'second']);
  });

  it('says which server it cannot reach, without the password', async () => {
    const attempt = migrate('postgresql://someone:secret@127.0.0.1:1/x', migrationsDir);

    await expect(attempt).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: expect.stringMatching(/127\.0\.0\.1:1(?!.*secret)/) as string,
    });
  });
});

describe("Prisma's own record", () => {
  it('is kept so that "migrate status" and "migrate deploy" find nothing to do', async () => {
    await migrate(url, migrationsDir);

    expect(await prismaStatus(url, migrationsDir)).toEqual({
      editedMigrationNames: [],
      failedMigrationNames: [],
      hasMigrationsTable: true,
      history: null,
    });
    expect(await prismaDeploy(url, migrationsDir)).toEqual([]);
  });

  it('has the rows and the table that Prisma itself would have made', async () => {
    const other = await emptyDatabase();
    try {
      await migrate(url, migrationsDir);
      expect(await prismaDeploy(other.url, migrationsDir)).toEqual(both);

      const columns = `SELECT column_name, data_type, character_maximum_length, is_nullable,
        column_default FROM information_schema.columns
        WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`;
      expect(await runSql(url, columns)).toEqual(await runSql(other.url, columns));
      const rows = `SELECT migration_name, checksum, applied_steps_count, rolled_back_at,
        length(id) AS id_length, finished_at >= started_at AS finished
        FROM _prisma_migrations ORDER BY started_at`;
      expect(await runSql(url, rows)).toEqual(await runSql(other.url, rows));
    } finally {
      await other.drop();
    }
  });

  it('is understood where Prisma made it', async () => {
    expect(await prismaDeploy(url, migrationsDir)).toEqual(both);
    await writeMigration('3_third', 'CREATE TABLE third (id int);');

    expect(await migrate(url, migrationsDir)).toEqual({ applied: ['3_third'] });
  });

  it('of a migration that failed half-way stops ours until it is resolved', async () => {
    await migrate(url, migrationsDir);
    await writeMigration('3_broken', 'SELECT 1 / 0');
    await expect(prismaDeploy(url, migrationsDir)).rejects.toThrow('division by zero');
    await writeMigration('3_broken', 'CREATE TABLE third (id int)');

    await expect(migrate(url, migrationsDir)).rejects.toMatchObject({
      code: 'schema_mismatch',
      message: expect.stringContaining('migrate resolve --rolled-back 3_broken') as string,
    });

    await runSql(
      url,
      'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL',
    );
    expect(await migrate(url, migrationsDir)).toEqual({ applied: ['3_broken'] });
  });
});

describe('the shipped migrations', () => {
  it('are found from the sources and are all in a test database', async () => {
    const shipped = await readMigrations(shippedMigrations());
    const migrated = await testDatabase();
    try {
      expect(shipped.length).toBeGreaterThan(0);
      expect(await migrate(migrated.url)).toEqual({ applied: [] });
      const rows = await runSql<{ name: string }>(
        migrated.url,
        'SELECT migration_name AS name FROM _prisma_migrations ORDER BY 1',
      );
      expect(rows.map(({ name }) => name)).toEqual(shipped.map(({ name }) => name));
    } finally {
      await migrated.drop();
    }
  });
});
