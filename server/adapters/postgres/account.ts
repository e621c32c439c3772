/**
 * As whom PostgreSQL runs. It refuses to run as root, so a coordinator that is root (as in most
 * containers) starts it as the user postgres, who must then be able to reach its files.
 */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { TributaryError } from '../../../protocol/errors.js';

const run = promisify(execFile);

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const userName = 'postgres';

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The account for a server on `dataDirectory`: the owner of a directory that exists, else the user
 * postgres, who is made if need be. Undefined means as this process, which is then not root.
 *
 * @throws TributaryError `storage_unavailable`
 */
export async function serverAccount(dataDirectory: string): Promise<Account | undefined> {
  const owner = await ownerOf(dataDirectory);
  if (!isRoot()) {
    if (owner && owner.uid !== process.getuid?.()) {
      throw unavailable(
        `the data directory ${dataDirectory} belongs to another user (uid ${owner.uid}): ` +
          'start as that user or as root, or choose another directory',
      );
    }
    return undefined;
  }
  if (owner && owner.uid !== 0) return owner;
  return (await lookUp()) ?? (await create());
}

/**
 * Makes a directory that the account can enter, with the parents that are missing. One that is new
 * or empty is given to the account; one that holds something is left as it is.
 *
 * @throws TributaryError `storage_unavailable`
 */
export async function makeDirectory(directory: string, account?: Account): Promise<void> {
  const firstMade = await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
    throw unavailable(
      `the data directory cannot be made: ${(cause as Error).message}: choose another, or see to ` +
        'the permissions of the one above it',
      cause,
    );
  });
  if (!account) {
    if (firstMade) await chmod(directory, 0o700);
    return;
  }
  if (firstMade) {
    // A strict umask would shut the parents that were just made.
    const top = resolve(firstMade);
    for (let dir = dirname(resolve(directory)); dir.startsWith(top); dir = dirname(dir)) {
      await chmod(dir, 0o755);
    }
  }
  if ((await readdir(directory)).length === 0) {
    await chown(directory, account.uid, account.gid);
    await chmod(directory, 0o700);
  }
}

/**
 * Tries, as the account, to enter the directory.
 *
 * @throws TributaryError `storage_unavailable`, naming the directory that is in the way
 */
export async function requireEnterable(directory: string, account?: Account): Promise<void> {
  if (!account) return;
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], { ...account, cwd: '/', env: {} });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EPERM') {
      throw unavailable(
        `PostgreSQL refuses to run as root, and this process may not start it as uid ` +
          `${account.uid}: start as an ordinary user, or give a server in DATABASE_URL`,
        cause,
      );
    }
    const barrier = await closedTo(account, resolve(directory));
    throw unavailable(
      `the embedded PostgreSQL, which refuses to run as root and so runs as uid ${account.uid}, ` +
        `cannot enter ${barrier}, a part of ${directory}: try "chmod o+x ${barrier}", or a data ` +
        'directory elsewhere, such as /var/lib/tributary',
      cause,
    );
  }
}

/**
 * A new directory under the system's temporary one whose contents the server's account can reach
 * (mkdtemp's own are closed to all but their maker).
 */
export async function enterableTempDirectory(prefix: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), prefix));
  if (isRoot()) await chmod(directory, 0o711);
  return directory;
}

export function unavailable(message: string, cause?: unknown): TributaryError {
  return new TributaryError('storage_unavailable', message, undefined, { cause });
}

async function ownerOf(directory: string): Promise<Account | undefined> {
  try {
    const { uid, gid } = await stat(directory);
    return { uid, gid };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw unavailable(
      `${(error as Error).message}: start as the user who made the data directory, or choose another`,
      error,
    );
  }
}

async function lookUp(): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, userName])).stdout)),
    );
    return { uid, gid };
  } catch {
    return undefined; // no such user
  }
}

/** The shadow tools of most Linux systems, then BusyBox. */
const makeUser: readonly (readonly string[])[] = [
  ['useradd', '--system', '--user-group', '--no-create-home', '--shell', '/bin/false', userName],
  ['adduser', '-S', '-D', '-H', '-s', '/bin/false', userName],
];

async function create(): Promise<Account> {
  const causes: unknown[] = [];
  for (const [command, ...args] of makeUser) {
    await run(command, args).catch((cause: unknown) => causes.push(cause));
    // Also after a failure: another coordinator may have made the user just now.
    const account = await lookUp();
    if (account) return account;
  }
  throw unavailable(
    `PostgreSQL does not run as root, and the user ${userName} could not be made: start as an ` +
      `ordinary user, make a user ${userName}, or give a server in DATABASE_URL`,
    new AggregateError(causes),
  );
}

/** The outermost directory on the way that the account may not enter, judged by its mode. */
async function closedTo(account: Account, directory: string): Promise<string> {
  const way = [directory];
  while (dirname(way[0]) !== way[0]) way.unshift(dirname(way[0]));
  for (const step of way) if (!(await mayEnter(account, step))) return step;
  return directory; // a mode is not everything: access control lists, mount options
}

async function mayEnter(account: Account, directory: string): Promise<boolean> {
  const { mode, uid, gid } = await stat(directory);
  if (uid === account.uid) return (mode & 0o100) !== 0;
  if (gid === account.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}
