import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { enterableTempDirectory, isRoot } from '../../server/adapters/postgres/account.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../server/adapters/postgres/embedded.js';
import { isAlive } from '../../server/adapters/postgres/processes.js';
import { waitFor } from '../../server/adapters/postgres/wait.js';
import { postmasterOf } from '../support/postmaster.js';
import { runSql } from '../support/sql.js';

/** One for the file, with a directory for each test that must begin from nothing. */
let home: string;
let dataDir: string;
let started: EmbeddedPostgres[];
let owners: ChildProcess[];

beforeAll(async () => {
  home = await enterableTempDirectory('tributary-embedded-');
});

afterAll(() => rm(home, { recursive: true, force: true }));

beforeEach(() => {
  // To create a database takes longer than all the rest: most tests are content with any.
  dataDir = join(home, 'shared');
  started = [];
  owners = [];
});

afterEach(async () => {
  const running = owners.filter((owner) => owner.exitCode === null && owner.signalCode === null);
  for (const owner of running) await kill(owner);
  // A failed test may have left its server: the next must not find it.
  if (running.length > 0) await start();
  for (const server of started) await server.stop();
});

async function start(): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir });
  started.push(server);
  return server;
}

interface Owner {
  process: ChildProcess;
  url: string;
  adopted: boolean;
}

/** Another coordinator's process on the same directory. */
function spawnOwner(then: 'hold' | 'exit') {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const script = fileURLToPath(new URL('../support/postgres-owner.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', tsx, script, dataDir, then], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  owners.push(child);
  return child;
}

async function startInAnotherProcess(then: 'hold' | 'exit'): Promise<Owner> {
  const child = spawnOwner(then);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { process: child, ...(JSON.parse(line) as { url: string; adopted: boolean }) };
}

async function kill(owner: ChildProcess): Promise<void> {
  owner.kill('SIGKILL');
  await once(owner, 'exit');
}

function inCluster(...names: string[]): string {
  return join(dataDir, 'cluster', 'data', ...names);
}

const keep =
  'DROP TABLE IF EXISTS kept; CREATE TABLE kept (answer int); INSERT INTO kept VALUES (42)';
const look = 'SELECT answer FROM kept';

describe('the embedded server', () => {
  it('is durable, in UTF-8 and UTC, on the loopback only, behind a password', async () => {
    const { url, adopted } = await start();

    expect(adopted).toBe(false);
    const [settings] = await runSql(
      url,
      `SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
              current_setting('synchronous_commit') AS commit, current_setting('timezone') AS zone,
              current_setting('server_encoding') AS encoding,
              current_setting('listen_addresses') AS addresses`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      pages: 'on',
      commit: 'on',
      zone: 'UTC',
      encoding: 'UTF8',
      addresses: '127.0.0.1',
    });
    const wrong = new URL(url);
    wrong.password = 'guess';
    await expect(runSql(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
  });

  it('keeps its data over a clean stop, which can be asked for twice', async () => {
    const first = await start();
    await runSql(first.url, keep);
    const pid = await postmasterOf(dataDir);

    await Promise.all([first.stop(), first.stop()]);
    await first.stop();

    expect(isAlive(pid)).toBe(false);
    await expect(runSql(first.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    const second = await start();
    expect(second.adopted).toBe(false);
    expect(await runSql(second.url, look)).toEqual([{ answer: 42 }]);
  });

  it('is adopted after its owner was killed', async () => {
    const owner = await startInAnotherProcess('hold');
    await runSql(owner.url, keep);
    const pid = await postmasterOf(dataDir);
    await kill(owner.process);
    expect(isAlive(pid)).toBe(true);

    const server = await start();

    expect(server.adopted).toBe(true);
    expect(server.url).toBe(owner.url);
    expect(await runSql(server.url, look)).toEqual([{ answer: 42 }]);
    await server.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('is stopped by a process that ends without stopping it', async () => {
    const owner = await startInAnotherProcess('exit');
    const pid = await postmasterOf(dataDir);
    if (owner.process.exitCode === null) await once(owner.process, 'exit');

    const gone = () => (isAlive(pid) ? undefined : true);
    expect(await waitFor(gone, { everyMs: 20, timeoutMs: 20_000 })).toBe(true);
  });

  it('recovers what was committed after it was killed itself', async () => {
    const first = await start();
    await runSql(first.url, keep);
    process.kill(await postmasterOf(dataDir), 'SIGKILL');

    const second = await start();

    expect(second.adopted).toBe(false);
    expect(await runSql(second.url, look)).toEqual([{ answer: 42 }]);
  });

  it('starts over a stale postmaster.pid, whether its number is free or taken by another program', async () => {
    let server = await start();
    await runSql(server.url, keep);
    for (const pid of [2 ** 22 + 1, process.pid]) {
      const text = await readFile(inCluster('postmaster.pid'), 'utf8');
      await server.stop();
      await writeFile(inCluster('postmaster.pid'), text.replace(/^\d+/, String(pid)));

      server = await start();

      expect(server.adopted).toBe(false);
      expect(await runSql(server.url, look)).toEqual([{ answer: 42 }]);
    }
  });

  it('begins again after its owner was killed in the middle of initdb', async () => {
    dataDir = join(home, 'interrupted');
    const owner = spawnOwner('hold');
    const halfMade = async () => {
      const names = await readdir(dataDir).catch(() => []);
      const draft = names.find((name) => name.startsWith('init-'));
      return draft && existsSync(join(dataDir, draft, 'data', 'base')) ? draft : undefined;
    };
    expect(await waitFor(halfMade, { everyMs: 2, timeoutMs: 30_000 })).toBeDefined();
    await kill(owner);
    expect(await readdir(dataDir)).toContain('lock');

    const { url, adopted } = await start();

    expect(adopted).toBe(false);
    expect(await runSql(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect((await readdir(dataDir)).sort()).toEqual(['cluster', 'postgres.log', 'users']);
  });
});

describe('several users of one directory', () => {
  it('start at once and share one server, which stops with the last of them', async () => {
    dataDir = join(home, 'crowded');
    const [a, b, other] = await Promise.all([start(), start(), startInAnotherProcess('hold')]);
    const pid = await postmasterOf(dataDir);

    expect([a.adopted, b.adopted, other.adopted].filter((adopted) => !adopted)).toHaveLength(1);
    expect(new Set([a.url, b.url, other.url]).size).toBe(1);
    await a.stop();
    await b.stop();
    expect(isAlive(pid)).toBe(true);
    await runSql(other.url, keep);

    const last = await start();
    await kill(other.process);
    expect(await runSql(last.url, look)).toEqual([{ answer: 42 }]);
    await last.stop();
    expect(isAlive(pid)).toBe(false);
  });
});

describe('a directory that cannot be used', () => {
  it.skipIf(!isRoot())(
    'is refused by name when its parent is shut to the server (root only: others run it as themselves)',
    async () => {
      const shut = await mkdtemp(join(tmpdir(), 'tributary-shut-'));
      await chmod(shut, 0o700);
      try {
        const attempt = startEmbeddedPostgres({ dataDir: join(shut, 'postgres') });
        await expect(attempt).rejects.toMatchObject({
          code: 'storage_unavailable',
          message: expect.stringContaining(`chmod o+x ${shut}"`) as string,
        });
      } finally {
        await rm(shut, { recursive: true });
      }
    },
  );

  it('is refused when another major version of PostgreSQL made it', async () => {
    dataDir = join(home, 'old');
    await mkdir(inCluster(), { recursive: true });
    await writeFile(inCluster('PG_VERSION'), '9\n');

    await expect(start()).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: expect.stringMatching(/was made by PostgreSQL 9, this is \d+/) as string,
    });
  });

  it('is refused when a part of it is gone', async () => {
    dataDir = join(home, 'broken');
    await mkdir(join(dataDir, 'cluster'), { recursive: true });

    await expect(start()).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: expect.stringContaining('restore it from a backup') as string,
    });
  });
});
