/** Files that must outlive a power cut, and files that may not be there. */
import { type FileHandle, open, readFile } from 'node:fs/promises';

/** Whether a file is not there, as Node says it. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
}

/** What was read of a file; null where it is not there. */
export async function ifThere<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export function textIfThere(path: string): Promise<string | null> {
  return ifThere(readFile(path, 'utf8'));
}

/**
 * Writes a file that only its owner reads; on the disk when it resolves.
 *
 * @param flag `w` replaces what is there, `wx` fails where something is.
 * @param prepare what is done with the file before it is synced
 */
export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  flag: 'w' | 'wx',
  prepare?: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flag, 0o600);
  try {
    await file.writeFile(content);
    await prepare?.(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A file that was made or renamed has its name on the disk when its directory is. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return; // cannot open directories; NTFS journals the rename
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
