/** The processes of an embedded PostgreSQL, seen from outside. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataDirectoryOf } from '../../server/adapters/postgres/cluster.js';
import { isAlive } from '../../server/adapters/postgres/processes.js';
import { eventually } from './database.js';

/** The id of the first of them; `dataDir` is the folder that the server was started on. */
export async function postmasterOf(dataDir: string): Promise<number> {
  const text = await readFile(join(dataDirectoryOf(dataDir), 'postmaster.pid'), 'utf8');
  return Number(text.split('\n')[0]);
}

/** kill -9; resolves when it is gone, with which process it was. */
export async function killPostmaster(dataDir: string): Promise<number> {
  const pid = await postmasterOf(dataDir);
  process.kill(pid, 'SIGKILL');
  await eventually('the database is gone', () => Promise.resolve(!isAlive(pid) || null));
  return pid;
}
