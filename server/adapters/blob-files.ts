/** What the blob stores share: ranges of files, failures of disks, and blobs that settle once. */
import { type FileHandle, open } from 'node:fs/promises';
import { TributaryError } from '../../protocol/errors.js';
import type { Blob, StagedBlob } from '../core/ports.js';
import { AtMost } from './at-most.js';
import { isMissing } from './files.js';
import { meansFull, storageFull } from './storage-full.js';

export function unavailable(message: string, cause?: unknown): TributaryError {
  return new TributaryError('storage_unavailable', message, undefined, { cause });
}

export function damaged(message: string, cause?: unknown): TributaryError {
  return new TributaryError('blob_damaged', message, undefined, { cause });
}

export function missingBlob(sha256: string, where: string, cause?: unknown): TributaryError {
  return damaged(`blob ${sha256} is missing from ${where}`, cause);
}

/**
 * Whatever `work` fails with is a failure of the storage: no permission, a bad sector; a full disk is
 * told apart, since room may be made.
 */
export async function onStorage<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof TributaryError) throw cause;
    const message = `cannot ${what}: ${(cause as Error).message}`;
    throw meansFull(cause) ? storageFull(message, undefined, cause) : unavailable(message, cause);
  }
}

/** Whether a text is a sha256. What is not never becomes part of a path or a query. */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** @throws RangeError where `start` to `start + length` is not within `bytes`: a bug of the caller. */
export function requireRange(start: number, length: number, bytes: number): void {
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(length);
  if (!whole || start < 0 || length < 0 || start + length > bytes) {
    throw new RangeError(`bytes ${start} to ${start + length} of a blob of ${bytes}`);
  }
}

/** Reads a range of a blob into `out`, which is as long as the range. */
export type Fill = (start: number, out: Uint8Array) => Promise<void>;

/** Both ways to read a blob, by the one that its store has; none goes beyond its end. */
export function ranges(bytes: number, fill: Fill): Pick<Blob, 'read' | 'readInto'> {
  return {
    read: async (start, length) => {
      requireRange(start, length, bytes);
      const out = new Uint8Array(length);
      await fill(start, out);
      return out;
    },
    readInto: async (start, out) => {
      requireRange(start, out.byteLength, bytes);
      await fill(start, out);
    },
  };
}

/**
 * A rule reads a tile of each of a thousand updates in one breath: opened all at once, they would run
 * into the limit of the process, and the round would never get past it.
 */
const filesAtOnce = new AtMost(64);

/**
 * Reads a range of a file. It is opened for each range: a blob may be held for hours, a descriptor
 * must not.
 *
 * @throws TributaryError `blob_damaged` where the file is gone or ends too early,
 * `storage_unavailable`.
 */
export async function readFileInto(path: string, start: number, out: Uint8Array): Promise<void> {
  return filesAtOnce.run(() =>
    onStorage(`read ${path}`, async () => {
      const file = await open(path, 'r').catch((error: unknown) => {
        throw isMissing(error) ? damaged(`${path} is missing`, error) : error;
      });
      try {
        await readFully(file, path, start, out);
      } finally {
        await file.close();
      }
    }),
  );
}

/** One read of 2 GiB or more ends the process: Node asserts that its length fits into 31 bits. */
const MOST_AT_ONCE = 1024 ** 3;

/** How much of what is left to read the next call may ask for. */
export function atOnce(left: number): number {
  return Math.min(left, MOST_AT_ONCE);
}

export async function readFully(
  file: FileHandle,
  path: string,
  start: number,
  out: Uint8Array,
): Promise<void> {
  let filled = 0;
  while (filled < out.byteLength) {
    const length = atOnce(out.byteLength - filled);
    const { bytesRead } = await file.read(out, filled, length, start + filled);
    if (bytesRead === 0) throw endsAt(path, start + filled);
    filled += bytesRead;
  }
}

export function endsAt(path: string, byte: number): TributaryError {
  return damaged(`${path} ends at byte ${byte}`);
}

/**
 * Holds a staged blob to its promise: committed or discarded exactly once. Where that failed, it may
 * be tried again, or the other be done.
 */
export function settledOnce(blob: StagedBlob): StagedBlob {
  let settled: string | null = null;
  const settle = async (how: string, work: () => Promise<void>): Promise<void> => {
    if (settled) throw new TributaryError('internal', `the staged blob was ${settled} before`);
    settled = how;
    try {
      await work();
    } catch (error) {
      settled = null;
      throw error;
    }
  };
  return {
    sha256: blob.sha256,
    bytes: blob.bytes,
    get where() {
      return blob.where;
    },
    read: (start, length) => blob.read(start, length),
    readInto: (start, out) => blob.readInto(start, out),
    commit: () => settle('committed', () => blob.commit()),
    discard: () => settle('discarded', () => blob.discard()),
  };
}
