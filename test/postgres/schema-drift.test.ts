import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, expect, it } from 'vitest';
import { readMigrations } from '../../server/adapters/postgres/migrations.js';
import { migrate } from '../../server/adapters/postgres/migrator.js';
import { folder as directory, useFolder } from '../support/folder.js';
import { emptyDatabase } from '../support/postgres.js';
import { runSql } from '../support/sql.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let schema: string;
let migrations: string;

useFolder('each');
beforeEach(async () => {
  await cp(join(root, 'prisma'), directory, { recursive: true });
  schema = join(directory, 'schema.prisma');
  migrations = join(directory, 'migrations');
});

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

// The two scripts cost five seconds of CPU each (a PGlite in WebAssembly), hence one test. That the
// shipped migrations lead to the shipped schema as they are is a step of `npm run check`.
it('shows the SQL that is missing and nothing else, and writes it as a migration that applies', async () => {
  // Of the hand-written SQL, which the schema cannot say, nothing may count as drift.
  const shipped = (await readMigrations(migrations)).map((migration) => migration.sql).join('');
  expect(shipped).toMatch(/ CHECK \(/);
  const model = 'model Noted {\n  id Int @id\n  note String?\n  @@map("noted")\n}\n';
  await writeFile(schema, `${await readFile(schema, 'utf8')}\n${model}`);
  const missing =
    '-- CreateTable\nCREATE TABLE "noted" (\n    "id" INTEGER NOT NULL,\n    "note" TEXT,\n\n' +
    '    CONSTRAINT "noted_pkey" PRIMARY KEY ("id")\n);\n';

  expect(await runScript('schema-drift.mjs')).toMatchObject({ exitCode: 1, stdout: missing });

  const written = await runScript('new-migration.mjs', 'add_noted');
  expect(written).toMatchObject({ exitCode: 0, stderr: '' });
  expect(written.stdout).toMatch(/\d{14}_add_noted\/migration\.sql\n$/);
  expect(await readFile(written.stdout.trim(), 'utf8')).toBe(missing);
  const database = await emptyDatabase();
  try {
    const { applied } = await migrate(database.url, migrations);
    expect(applied.at(-1)).toMatch(/_add_noted$/);
    await runSql(database.url, `INSERT INTO noted VALUES (1, 'kept')`);
  } finally {
    await database.drop();
  }
}, 120_000);
