import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMigrations } from '../../server/adapters/postgres/migrations.js';
import { migrate } from '../../server/adapters/postgres/migrator.js';
import { emptyDatabase } from '../support/postgres.js';
import { runSql } from '../support/sql.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let directory: string;
let schema: string;
let migrations: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tributary-schema-'));
  await cp(join(root, 'prisma'), directory, { recursive: true });
  schema = join(directory, 'schema.prisma');
  migrations = join(directory, 'migrations');
});

afterEach(() => rm(directory, { recursive: true }));

interface Ended {
  exitCode: number | string | null | undefined;
  stdout: string;
  stderr: string;
}

function runScript(name: string, ...args: string[]): Promise<Ended> {
  const paths = ['--schema', schema, '--migrations', migrations];
  return new Promise((resolve) => {
    const script = join(root, 'scripts', name);
    execFile(process.execPath, [script, ...args, ...paths], (error, stdout, stderr) =>
      resolve({ exitCode: error ? error.code : 0, stdout, stderr }),
    );
  });
}

it('finds no drift in what is shipped, whose hand-written SQL the schema cannot say', async () => {
  const sql = (await readMigrations(migrations)).map((migration) => migration.sql).join('');
  expect(sql).toMatch(/ CHECK \(/);

  const { exitCode, stdout, stderr } = await runScript('schema-drift.mjs');

  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '', stderr: '' });
});

it('shows the SQL that is missing, and writes it as a migration that applies', async () => {
  const model = 'model Noted {\n  id Int @id\n  note String?\n  @@map("noted")\n}\n';
  await writeFile(schema, `${await readFile(schema, 'utf8')}\n${model}`);

  const drift = await runScript('schema-drift.mjs');
  expect(drift.exitCode).toBe(1);
  expect(drift.stdout).toContain('CREATE TABLE "noted"');

  const written = await runScript('new-migration.mjs', 'add_noted');
  expect(written).toMatchObject({ exitCode: 0, stderr: '' });
  expect(written.stdout).toMatch(/\d{14}_add_noted\/migration\.sql\n$/);
  const database = await emptyDatabase();
  try {
    const { applied } = await migrate(database.url, migrations);
    expect(applied.at(-1)).toMatch(/_add_noted$/);
    await runSql(database.url, `INSERT INTO noted VALUES (1, 'kept')`);
  } finally {
    await database.drop();
  }
});
