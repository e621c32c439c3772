/**
 * A coordinator in memory, in a process that may open few files (`ulimit -n`): prints where it is, and
 * stops when its standard input ends.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { createCoordinator } from '../../server/app.js';

const dataDir = await mkdtemp(join(tmpdir(), 'tributary-limited-'));
const coordinator = await createCoordinator({
  store: createMemoryStore(),
  blobs: createMemoryBlobStore(),
  dataDir,
  port: 0,
  aggregationThreads: 0,
  log: pino({ level: 'warn' }, pino.destination({ fd: 2, sync: true })),
});
console.log(coordinator.url);
process.stdin.resume().on('end', () => {
  void coordinator.close().then(() => rm(dataDir, { recursive: true }));
});
