/** The embedded server is killed while it is used, and launched again by its users. */
import { renameSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
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

async function postmaster(): Promise<number> {
  const file = join(dataDirectoryOf(dataDir), 'postmaster.pid');
  return Number((await readFile(file, 'utf8')).split('\n')[0]);
}

/** @returns which process it was */
async function killServer(): Promise<number> {
  const pid = await postmaster();
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => Promise.resolve(isAlive(pid) ? null : true));
  return pid;
}

/** What the server answers at the address that it always had. */
function once(url: string, sql: string): Promise<unknown[]> {
  return eventually('the server answers', () => runSql(url, sql).catch(() => null));
}

it('comes back where it was, with its data, each time that it is killed', async () => {
  const server = await start();
  await runSql(server.url, 'CREATE TABLE kept (answer int); INSERT INTO kept VALUES (42)');
  const pids = [await killServer()];
  expect(await once(server.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  pids.push(await killServer());
  expect(await once(server.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  const last = await postmaster();
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
  await killServer();
  const answers = await Promise.all([
    once(first.url, 'SELECT 1 AS one'),
    once(second.url, 'SELECT 1 AS one'),
  ]);
  expect(answers).toEqual([[{ one: 1 }], [{ one: 1 }]]);
  const pid = await postmaster();
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
  await killServer();
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
  const pid = await killServer();
  await asked;
  await server.stop();
  expect(await postmaster(), 'no other one was launched').toBe(pid);
  expect(warnings).toEqual([]);
  await expect(runSql(server.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
});

it('stays away where it is killed while it is stopped', async () => {
  const server = await start();
  const pid = await postmaster();
  process.kill(pid, 'SIGKILL');
  await server.stop();
  expect(await postmaster(), 'no other one was launched').toBe(pid);
  expect(isAlive(pid)).toBe(false);
  expect(warnings).toEqual([]);
});
