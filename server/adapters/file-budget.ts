/**
 * Files that the process may open, and how peers may use them: past the limit not only accepting
 * connections fails, but anything.
 */
import { readFileSync } from 'node:fs';

/** For all that is no peer's: database, models, logs. */
const SPARE_FILES = 200;
/** Of all files, for uploads: each has a connection, and a file in the spool beside it. */
const UPLOADS_SHARE = 1 / 4;

export interface FileBudget {
  readonly connections: number;
  /** Under way at once. */
  readonly uploads: number;
}

/** Infinity where the limit is not known. */
export function fileBudget(files = mostFiles()): FileBudget {
  const uploads = Math.floor(files * UPLOADS_SHARE);
  if (!Number.isFinite(files)) return { connections: Infinity, uploads: Infinity };
  return { connections: Math.max(files - uploads - SPARE_FILES, Math.ceil(files / 2)), uploads };
}

function mostFiles(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity; // not Linux
  }
}
