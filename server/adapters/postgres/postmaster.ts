/** One PostgreSQL server process: found, started, stopped. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fchownSync, openSync, renameSync, statSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { unavailable } from './account.js';
import { serverEnvironment } from './binaries.js';
import { type Cluster, superuser } from './cluster.js';
import { isAlive, isPostmaster } from './processes.js';
import { waitFor } from './wait.js';

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** Resolves when it has ended; absent where it is no child of this process. */
  readonly exited?: Promise<void>;
}

/** A server that was not shut down replays its log first, which can take minutes. */
export const startTimeoutMs = 300_000;
const stopTimeoutMs = 60_000;
const quitTimeoutMs = 10_000;
const pollMs = 20;
const keepLogBytes = 8 * 2 ** 20;

/**
 * Given on the command line, where they win over the files in the data directory: nobody turns
 * durability off by an edit there.
 */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '50',
  shared_buffers: '64MB',
  // Two kinds of helper processes that a small server can do without.
  io_method: 'sync',
  max_logical_replication_workers: '0',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Errors of statements go to the coordinator, which decides what to log; the log file, which
  // nobody rotates while the server runs, keeps what the server has to say about itself.
  log_min_messages: 'log',
  log_checkpoints: 'off',
  logging_collector: 'off',
};

interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

/** Reads postmaster.pid: pid, data directory, start time, port, socket, address, key, status. */
async function readPidFile(dataDirectory: string): Promise<PidFile | undefined> {
  const text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, port: Number(lines.at(3)), ready: lines.at(7)?.trim() === 'ready' };
}

/**
 * The server that already runs on this data directory, if any; waits while it starts or stops.
 * A stale postmaster.pid is removed where PostgreSQL itself would take it for a living server's.
 *
 * @throws TributaryError `storage_unavailable` when it runs but cannot be used
 */
export async function findRunning(cluster: Cluster): Promise<Postmaster | undefined> {
  const { dataDirectory } = cluster;
  const look = async (): Promise<Postmaster | 'none' | undefined> => {
    const file = await readPidFile(dataDirectory);
    if (!file) return 'none';
    if (!isPostmaster(file.pid, dataDirectory)) {
      // It is gone, and where nobody reaps it it stays a zombie for ever (a container without an
      // init); or its number now belongs to another program. Two servers on one directory stay
      // impossible: PostgreSQL also checks that nobody is attached to its shared memory.
      await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
      return 'none';
    }
    return file.ready ? { pid: file.pid, port: file.port } : undefined;
  };
  const found = await waitFor(look, { everyMs: pollMs, timeoutMs: startTimeoutMs });
  if (found === 'none') return undefined;
  if (!found) {
    throw unavailable(
      `a PostgreSQL server on ${dataDirectory} is neither ready nor gone after ` +
        `${startTimeoutMs / 1000} s: see ${cluster.logFile}`,
    );
  }
  await checkIsOurs(cluster, found);
  return found;
}

async function checkIsOurs(cluster: Cluster, server: Postmaster): Promise<void> {
  const client = connectTo(cluster, server, 'postgres');
  try {
    await client.connect();
    // Refused by a server that was started by hand with another role; wrong if ports were reused.
    const { rows } = await client.query<{ pid: string }>(
      "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) AS pid",
    );
    if (Number(rows[0].pid) !== server.pid) throw new Error('another server answers at its port');
  } catch (cause) {
    throw unavailable(
      `the PostgreSQL server (process ${server.pid}) that runs on ${cluster.dataDirectory} cannot ` +
        `be used: ${(cause as Error).message}: stop it with "kill -INT ${server.pid}" and start again`,
      cause,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

export function connectTo(cluster: Cluster, { port }: Postmaster, database: string): pg.Client {
  return new pg.Client({
    host: '127.0.0.1',
    port,
    user: superuser,
    password: cluster.password,
    database,
    connectionTimeoutMillis: 10_000,
  });
}

/**
 * Starts a server on the loopback and waits until it takes connections. Without `fixedPort`, where
 * it was last time, since another coordinator may still look for it there; else on a free port.
 *
 * @throws TributaryError `storage_unavailable`, with what the server said
 */
export async function launch(cluster: Cluster, fixedPort?: number): Promise<Postmaster> {
  keepLogSmall(cluster.logFile);
  let port = fixedPort ?? (await lastPort(cluster)) ?? (await freePort());
  let said = '';
  for (let attempt = 0; attempt < 20; attempt++) {
    const from = existsSync(cluster.logFile) ? statSync(cluster.logFile).size : 0;
    const server = await tryLaunch(cluster, port);
    if (server) return server;
    said = await readFrom(cluster.logFile, from);
    // The port was taken meanwhile; or the processes of a killed server have not all gone yet.
    const isTaken = said.includes('Address already in use');
    if (!isTaken && !/pre-existing shared memory|still in use/.test(said)) break;
    if (isTaken && fixedPort === undefined) port = await freePort();
    await delay(100);
  }
  throw unavailable(
    `the embedded PostgreSQL on ${cluster.dataDirectory} did not start: ${said.trim()}: see to ` +
      'what it says and start again',
  );
}

/** Undefined when the server ended before it was ready. */
async function tryLaunch(cluster: Cluster, port: number): Promise<Postmaster | undefined> {
  const args = ['-D', cluster.dataDirectory, '-p', String(port)];
  for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
  // A file rather than a pipe: the server must be able to speak after the coordinator was killed.
  const log = openSync(cluster.logFile, 'a', 0o600);
  if (cluster.account) fchownSync(log, cluster.account.uid, cluster.account.gid);
  const child = spawn(cluster.binaries.postgres, args, {
    ...cluster.account,
    cwd: cluster.dataDirectory,
    env: serverEnvironment(),
    stdio: ['ignore', log, log],
    // A session of its own: Ctrl-C in the terminal must reach the coordinator alone, which still
    // needs the database to stop cleanly.
    detached: true,
  });
  closeSync(log);
  child.unref();
  let failure: Error | undefined;
  child.once('error', (error) => (failure = error));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const look = async (): Promise<boolean | undefined> => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || failure !== undefined) return false;
    const file = await readPidFile(cluster.dataDirectory);
    return file?.pid === child.pid && file?.ready ? true : undefined;
  };
  const ready = await waitFor(look, { everyMs: pollMs, timeoutMs: startTimeoutMs });
  if (failure) throw unavailable(`PostgreSQL could not be started: ${failure.message}`, failure);
  if (ready === undefined) {
    throw unavailable(
      `PostgreSQL (process ${child.pid}) is not ready after ${startTimeoutMs / 1000} s: it may ` +
        `still be recovering, see ${cluster.logFile} and start again later`,
    );
  }
  return ready ? { pid: child.pid!, port, exited } : undefined;
}

/**
 * Shuts the server down ("fast": transactions are rolled back, everything is on disk), and
 * resolves when its process is gone. One that does not go is made to quit at once; it then
 * recovers from its log when it starts again.
 */
export async function shutDown(cluster: Cluster, { pid }: Postmaster): Promise<void> {
  const { dataDirectory } = cluster;
  for (const [signal, timeoutMs] of [
    ['SIGINT', stopTimeoutMs],
    ['SIGQUIT', quitTimeoutMs],
  ] as const) {
    if (!isPostmaster(pid, dataDirectory)) return;
    process.kill(pid, signal);
    const gone = () => (isAlive(pid) ? undefined : true);
    if (await waitFor(gone, { everyMs: pollMs, timeoutMs })) return;
  }
  throw unavailable(`the PostgreSQL server (process ${pid}) on ${dataDirectory} does not stop`);
}

/** PostgreSQL keeps there how it was started last. */
async function lastPort({ dataDirectory }: Cluster): Promise<number | undefined> {
  const path = join(dataDirectory, 'postmaster.opts');
  const words = await readFile(path, 'utf8').catch(() => '');
  const port = /"-p" "(\d+)"/.exec(words)?.[1];
  return port === undefined ? undefined : Number(port);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port of the loopback');
  return address.port;
}

function keepLogSmall(file: string): void {
  if (existsSync(file) && statSync(file).size > keepLogBytes) renameSync(file, `${file}.1`);
}

async function readFrom(file: string, position: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(4096), position });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
