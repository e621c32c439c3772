#!/usr/bin/env node
/**
 * Writes the next migration: the SQL from what prisma/migrations makes to prisma/schema.prisma, into
 * prisma/migrations/<UTC time>_NAME/migration.sql. Read it before it is committed. Works offline,
 * without a server. With --empty, a file to be filled by hand with SQL that Prisma cannot express.
 *
 *   node scripts/new-migration.mjs NAME [--empty] [--schema FILE] [--migrations DIR]
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { findDrift, lockFile, lockName, projectPaths } from './schema/engine.mjs';

const usage = 'node scripts/new-migration.mjs NAME [--empty] (NAME: a-z, 0-9 and _)';

/** Fourteen digits, later than every migration there is: they are applied in the order of names. */
function nextStamp(migrationsDir) {
  const now = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
  const stamps = readdirSync(migrationsDir).map((name) => /^\d{14}(?=_)/.exec(name)?.[0] ?? '');
  const last = stamps.sort().at(-1) ?? '';
  return last < now ? now : String(BigInt(last) + 1n);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      empty: { type: 'boolean', default: false },
      schema: { type: 'string', default: projectPaths.schema },
      migrations: { type: 'string', default: projectPaths.migrations },
    },
  });
  const [name] = positionals;
  if (positionals.length !== 1 || !/^[a-z0-9_]+$/.test(name)) throw new Error(usage);

  mkdirSync(values.migrations, { recursive: true });
  const drift = { schemaFile: values.schema, migrationsDir: values.migrations };
  const sql = values.empty ? `-- ${name}` : (await findDrift(drift)).trim();
  if (sql === '') {
    console.log('The migrations already lead to the schema: nothing to write.');
    return;
  }
  const lock = join(values.migrations, lockName);
  if (!existsSync(lock)) writeFileSync(lock, lockFile);
  const directory = join(values.migrations, `${nextStamp(values.migrations)}_${name}`);
  mkdirSync(directory);
  const file = join(directory, 'migration.sql');
  writeFileSync(file, `${sql}\n`);
  console.log(file);
  if (/^\s*DROP |\bDROP (TABLE|COLUMN)\b/m.test(sql)) {
    console.warn('It drops a table or a column, and with it the data: is that meant?');
  }
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
