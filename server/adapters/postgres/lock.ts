/**
 * A lock file for processes of one machine: who starts, creates or stops the database of a
 * directory does it alone. The holder writes its mark into the file, so a holder that was killed
 * is told from one that is slow.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { TributaryError } from '../../../protocol/errors.js';
import { isMissing, textIfThere } from '../files.js';
import { markIsAlive, thisProcess } from './processes.js';
import { waitFor } from './wait.js';

const pollMs = 25;

/**
 * Runs `work` while holding the lock, and frees it whatever happens.
 *
 * @throws TributaryError `storage_unavailable` when a living process keeps the lock for longer
 *   than `timeoutMs`.
 */
export async function withFileLock<T>(
  file: string,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const content = `${thisProcess()} ${randomUUID()}`;
  const held = await waitFor(() => acquire(file, content), { everyMs: pollMs, timeoutMs });
  if (!held) {
    const [holder] = ((await textIfThere(file)) ?? '').split('-');
    throw new TributaryError(
      'storage_unavailable',
      `process ${holder} has been starting or stopping the database for ${timeoutMs / 1000} s: ` +
        `wait for it, or end it (lock file ${file})`,
    );
  }
  try {
    return await work();
  } finally {
    if ((await textIfThere(file)) === content) await rm(file, { force: true });
  }
}

/** Whether the lock is there: held, or left by a process that was killed. */
export function isLocked(file: string): boolean {
  return existsSync(file);
}

/** True when taken, undefined when somebody else has it. */
async function acquire(file: string, content: string): Promise<true | undefined> {
  // A link appears whole or not at all: nobody ever reads a lock without its holder's mark.
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, content, { mode: 0o600 });
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const holder = await textIfThere(file);
  if (holder !== null && !markIsAlive(holder.split(' ')[0])) await breakStale(file, holder);
  return undefined;
}

/**
 * Removes a dead holder's lock. Between our look and our hand another process may have done the
 * same and taken the lock, so the file is moved aside, looked at again, and put back if it is not
 * the one that was judged. (Should a third have come in the meantime, two hold the lock: initdb's
 * rename and PostgreSQL's own lock on its directory still allow only one to take effect.)
 */
async function breakStale(file: string, judged: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    if ((await textIfThere(aside)) !== judged) await link(aside, file).catch(() => undefined);
  } finally {
    await rm(aside, { force: true });
  }
}
