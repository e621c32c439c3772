#!/usr/bin/env node
/**
 * Checks that prisma/migrations leads to prisma/schema.prisma: exits 1 with the missing SQL when it
 * does not. Works offline, without a server.
 *
 *   node scripts/schema-drift.mjs [--schema FILE] [--migrations DIR]
 *
 * Does not count as drift, since Prisma cannot express it: CHECK and EXCLUDE constraints, partial
 * and expression indexes, triggers, functions, views, storage settings (STORAGE EXTERNAL), comments,
 * sequences and domains. A table that is made by SQL alone does count: model it, with @@ignore where
 * the client is not to see it.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { findDrift, projectPaths } from './schema/engine.mjs';

const { values } = parseArgs({
  options: {
    schema: { type: 'string', default: projectPaths.schema },
    migrations: { type: 'string', default: projectPaths.migrations },
  },
});

try {
  const sql = await findDrift({ schemaFile: values.schema, migrationsDir: values.migrations });
  if (sql !== '') {
    console.error('The migrations do not lead to the schema. What is missing:\n');
    console.log(sql.trim());
    console.error('\nWrite it with: node scripts/new-migration.mjs NAME');
    process.exitCode = 1;
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
