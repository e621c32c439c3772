/** The embedded server is killed while it is used, and launched again by its users. */
import { renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import { dataDirectoryOf } from '../../server/adapters/postgres/cluster.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../server/adapters/postgres/embedded.js';
import { isAlive } from '../../server/adapters/postgres/processes.js';
import { eventually } from '../support/database.js';
import { killPostmaster, postmasterOf } from '../support/postmaster.js';
import { runSql } from '../support/sql.js';

let dataDir: string;
let started: EmbeddedPostgres[];
let warnings: string[];

beforeAll(async () => {
  dataDir = await enterableTempDirectory('tributary-supervised-');
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

beforeEach(() => {
  [started, warnings] = [[], []];
});
afterEach(async () => {
  for (const server of started) await server.stop();
});

async function start(wanted: () => boolean = () => true): Promise<EmbeddedPostgres> {
  const warn = (message: string): void => void warnings.push(message);
  const server = await startEmbeddedPostgres({ dataDir, keepRunning: { wanted, warn } });
  started.push(server);
  return server;
}

/** What the server answers at the address that it always had. */
function once(url: string, sql: string): Promise<unknown[]> {
  return eventually('the server answers', () => runSql(url, sql).catch(() => null));
}

it('comes back where it was, with its data, each time that it is killed', async () => {
  const server = await start();
  await runSql(server.url, 'CREATE TABLE kept (answer int); INSERT INTO kept VALUES (42)');
  const pids = [await killPostmaster(dataDir)];
  expect(await once(server.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  pids.push(await killPostmaster(dataDir));
  expect(await once(server.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  const last = await postmasterOf(dataDir);
  // It may answer queries a moment before its supervisor says so.
  await expect.poll(() => warnings, { timeout: 30_000 }).toHaveLength(4);
  expect(warnings).toEqual([
    expect.stringContaining(`(process ${pids[0]}) has ended`),
    expect.stringContaining(`runs again (process ${pids[1]}`),
    expect.stringContaining(`(process ${pids[1]}) has ended`),
    expect.stringContaining(`runs again (process ${last}`),
  ]);
  await server.stop();
  expect(isAlive(last)).toBe(false);
});

it('is launched by one of its users, and found by the others, one of whom has adopted it', async () => {
  const [first, second] = [await start(), await start()];
  expect(second.adopted).toBe(true);
  await killPostmaster(dataDir);
  const answers = await Promise.all([
    once(first.url, 'SELECT 1 AS one'),
    once(second.url, 'SELECT 1 AS one'),
  ]);
  expect(answers).toEqual([[{ one: 1 }], [{ one: 1 }]]);
  const pid = await postmasterOf(dataDir);
  await eventually('both have found it', () =>
    Promise.resolve(
      warnings.filter((text) => text.includes(`again (process ${pid}`)).length === 2 || null,
    ),
  );
  await first.stop();
  expect(isAlive(pid), 'the second uses it').toBe(true);
  await second.stop();
  expect(isAlive(pid)).toBe(false);
});

it('is launched later where it cannot be launched at once', async () => {
  const version = join(dataDirectoryOf(dataDir), 'PG_VERSION');
  const aside = `${version}.aside`;
  let asked = 0;
  const { url } = await start(() => {
    if (++asked === 1) renameSync(version, aside);
    return true;
  });
  await killPostmaster(dataDir);
  await eventually('the launch fails', () =>
    Promise.resolve(warnings.find((text) => text.includes('trying again in 1 s'))),
  );
  renameSync(aside, version);
  expect(await once(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

it('stays away where nobody wants it any more', async () => {
  let ask: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (ask = resolve));
  const server = await start(() => {
    ask();
    return false;
  });
  const pid = await killPostmaster(dataDir);
  await asked;
  await server.stop();
  expect(await postmasterOf(dataDir), 'no other one was launched').toBe(pid);
  expect(warnings).toEqual([]);
  await expect(runSql(server.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
});

it('stays away where it is killed while it is stopped', async () => {
  const server = await start();
  const pid = await postmasterOf(dataDir);
  process.kill(pid, 'SIGKILL');
  await server.stop();
  expect(await postmasterOf(dataDir), 'no other one was launched').toBe(pid);
  expect(isAlive(pid)).toBe(false);
  expect(warnings).toEqual([]);
});
