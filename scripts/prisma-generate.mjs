#!/usr/bin/env node
/**
 * Runs `prisma generate` without the network. The command insists on having a schema engine, which
 * it would download and then not use: it is shown the node binary instead. For this one command
 * only: with that set, `migrate deploy`, `db push` and `migrate diff` end with 0, having done nothing.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import process from 'node:process';

const prisma = createRequire(import.meta.url).resolve('prisma/build/index.js');
const { status, error } = spawnSync(
  process.execPath,
  [prisma, 'generate', ...process.argv.slice(2)],
  {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    stdio: 'inherit',
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1', // no report of our use, no question about new versions
    },
  },
);
if (error) throw error;
process.exitCode = status ?? 1;
