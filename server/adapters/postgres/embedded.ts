/**
 * The embedded database: a real PostgreSQL that npm brings, run by the coordinator in a directory
 * of its own when no DATABASE_URL is given. It outlives a coordinator that was killed and is
 * adopted by the next one.
 */
import { randomUUID } from 'node:crypto';
import { chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeDirectory, requireEnterable, serverAccount, unavailable } from './account.js';
import { findBinaries } from './binaries.js';
import { type Cluster, dataDirectoryOf, openCluster, superuser } from './cluster.js';
import { isLocked, withFileLock } from './lock.js';
import {
  type Postmaster,
  connectTo,
  findRunning,
  launch,
  shutDown,
  startTimeoutMs,
} from './postmaster.js';
import { isPostmaster, markIsAlive, thisProcess } from './processes.js';
import { type KeepRunning, type Supervision, supervise } from './supervision.js';

export interface EmbeddedOptions {
  /** Everything is kept in this directory; it is made when it does not exist. */
  readonly dataDir: string;
  /** Told in a sentence what happens. */
  readonly log?: (message: string) => void;
  /** Launches the server again where it ends while it is used; without it, that is its end. */
  readonly keepRunning?: KeepRunning;
}

export interface EmbeddedPostgres {
  /** postgresql:// with the password: not for logs. */
  readonly url: string;
  /** Whether the server was already running: left by a killed process, or shared with another. */
  readonly adopted: boolean;
  /**
   * Ends our use. The last user shuts the server down cleanly: resolves when its process is gone.
   * Can be called again at any time.
   */
  stop(): Promise<void>;
}

const database = 'tributary';
/** Longer than a start: who waits for the lock waits for a start or a stop. */
const lockTimeoutMs = startTimeoutMs + 60_000;

/**
 * Starts the server on `dataDir`, or adopts the one that runs there. Several processes may use one
 * directory: the server stops with the last of them.
 *
 * @throws TributaryError `storage_unavailable`, with what is in the way and what to try
 */
export async function startEmbeddedPostgres({
  dataDir,
  log = () => undefined,
  keepRunning,
}: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const home = resolve(dataDir);
  const lock = join(home, 'lock');
  const account = await serverAccount(dataDirectoryOf(home));
  await makeDirectory(home, account);
  await requireEnterable(home, account);

  return withFileLock(lock, lockTimeoutMs, async () => {
    const binaries = await findBinaries(home, account);
    const cluster = await openCluster(home, binaries, account);
    const running = await findRunning(cluster);
    const server = running ?? (await launch(cluster));
    try {
      await ensureDatabase(cluster, server);
    } catch (cause) {
      if (!running) await shutDown(cluster, server);
      throw unavailable(`the database cannot be used: ${(cause as Error).message}`, cause);
    }
    const verb = running ? 'adopted' : 'started';
    log(`${verb} PostgreSQL ${binaries.major} (process ${server.pid}, port ${server.port})`);
    const address = `127.0.0.1:${server.port}/${database}`;
    const inTurn = (work: () => Promise<void>) => withFileLock(lock, lockTimeoutMs, work);
    const supervised = keepRunning
      ? supervise(server, cluster, inTurn, keepRunning)
      : { server, stop: () => Promise.resolve() };
    return {
      url: `postgresql://${superuser}:${cluster.password}@${address}`,
      adopted: running !== undefined,
      stop: useServer(home, lock, cluster, supervised, log),
    };
  });
}

async function ensureDatabase(cluster: Cluster, server: Postmaster): Promise<void> {
  const client = connectTo(cluster, server, 'postgres');
  await client.connect();
  try {
    const query = 'SELECT 1 FROM pg_database WHERE datname = $1';
    const { rowCount } = await client.query(query, [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
  } finally {
    await client.end();
  }
}

/** Enters this process as a user of the server. @returns what ends the use */
function useServer(
  home: string,
  lock: string,
  cluster: Cluster,
  supervised: Supervision,
  log: (message: string) => void,
): () => Promise<void> {
  const users = join(home, 'users');
  const us = join(users, `${thisProcess()}.${randomUUID()}`);
  mkdirSync(users, { recursive: true, mode: 0o700 });
  // So that the account itself can come later, without root, and find nothing shut.
  if (cluster.account) chownSync(users, cluster.account.uid, cluster.account.gid);
  writeFileSync(us, '');

  const leave = (): { last: boolean } => {
    rmSync(us, { force: true });
    return { last: !hasLivingUsers(users) };
  };
  // A process that ends without stop(), by process.exit() or an uncaught error, leaves no server
  // behind; it can only signal here, not wait. Whoever holds the lock may be about to adopt it.
  const onExit = (): void => {
    const mayStop = leave().last && !isLocked(lock);
    const { pid } = supervised.server;
    if (mayStop && isPostmaster(pid, cluster.dataDirectory)) process.kill(pid, 'SIGINT');
  };
  process.once('exit', onExit);

  const stop = async (): Promise<void> => {
    await supervised.stop();
    await withFileLock(lock, lockTimeoutMs, async () => {
      process.removeListener('exit', onExit);
      if (!leave().last) return;
      const { server } = supervised;
      await shutDown(cluster, server);
      log(`stopped PostgreSQL (process ${server.pid})`);
    });
  };
  let stopping: Promise<void> | undefined;
  return () =>
    (stopping ??= stop().catch((error: unknown) => {
      stopping = undefined; // the next call tries again
      throw error;
    }));
}

/** Forgets users that were killed. */
function hasLivingUsers(users: string): boolean {
  let living = false;
  for (const name of readdirSync(users)) {
    if (markIsAlive(name.split('.')[0])) living = true;
    else rmSync(join(users, name), { force: true });
  }
  return living;
}
