/**
 * The files of one embedded server. Inside the directory that the coordinator gives:
 *
 *   cluster/data       PostgreSQL's own data directory
 *   cluster/password   the superuser's password, readable by its owner only
 *   users/             one file for each living process that uses the server
 *   postgres.log       what the server says
 *   lock               held while the server is created, started or stopped
 */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { syncDirectory, writeDurably } from '../files.js';
import { type Account, unavailable } from './account.js';
import { type Binaries, serverEnvironment } from './binaries.js';

const run = promisify(execFile);

export const superuser = 'tributary';

export interface Cluster {
  readonly dataDirectory: string;
  readonly logFile: string;
  readonly password: string;
  readonly account?: Account;
  readonly binaries: Binaries;
}

export function dataDirectoryOf(home: string): string {
  return join(home, 'cluster', 'data');
}

/**
 * Opens the cluster under `home`, or creates it. To be called under the lock.
 *
 * @throws TributaryError `storage_unavailable`
 */
export async function openCluster(
  home: string,
  binaries: Binaries,
  account?: Account,
): Promise<Cluster> {
  const directory = join(home, 'cluster');
  await removeHalfMade(home);
  if (!existsSync(directory)) await create(home, directory, binaries, account);
  const dataDirectory = dataDirectoryOf(home);
  const major = await readPart(directory, join('data', 'PG_VERSION'));
  if (major !== binaries.major) {
    throw unavailable(
      `${dataDirectory} was made by PostgreSQL ${major}, this is ${binaries.major}: start the ` +
        'version of Tributary that made it, or move the data over with pg_dumpall',
    );
  }
  const password = await readPart(directory, 'password');
  return { dataDirectory, logFile: join(home, 'postgres.log'), password, account, binaries };
}

async function readPart(directory: string, name: string): Promise<string> {
  try {
    return (await readFile(join(directory, name), 'utf8')).trim();
  } catch (cause) {
    throw unavailable(
      `${directory} is not whole (${(cause as Error).message}): restore it from a backup, or ` +
        'remove it to begin with an empty database',
      cause,
    );
  }
}

/** What an interrupted initdb left; under the lock nobody is at work on it. */
async function removeHalfMade(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith('init-')) continue;
    // An orphaned initdb may still write there: try again rather than fail.
    await rm(join(home, name), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/**
 * Data and password are made under a name of their own and put in place by one rename, so that a
 * kill at any moment leaves either nothing or all of it.
 */
async function create(
  home: string,
  directory: string,
  binaries: Binaries,
  account?: Account,
): Promise<void> {
  const draft = join(home, `init-${randomUUID()}`);
  const passwordFile = join(draft, 'password');
  await mkdir(draft, { mode: 0o700 });
  if (account) await chown(draft, account.uid, account.gid);
  const password = `${randomBytes(24).toString('hex')}\n`;
  await writeDurably(passwordFile, password, 'wx', async (file) => {
    if (account) await file.chown(account.uid, account.gid);
  });
  const args = [
    `--pgdata=${join(draft, 'data')}`,
    `--username=${superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // The server's own collation: the system's changes with the C library and corrupts indexes.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ];
  try {
    await run(binaries.initdb, args, { ...account, cwd: draft, env: serverEnvironment() });
  } catch (cause) {
    await rm(draft, { recursive: true, force: true });
    const { stderr, message } = cause as Error & { stderr?: string };
    throw unavailable(
      `a database could not be created in ${home}: ${(stderr ?? '').trim() || message}: see to what it ` +
        'says and start again, or give a PostgreSQL server in DATABASE_URL',
      cause,
    );
  }
  await syncDirectory(draft);
  await rename(draft, directory);
  await syncDirectory(home);
}
