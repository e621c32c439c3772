/**
 * Blobs in a directory, by content: `ab/cdef…` for the sha256 `abcdef…`. A file appears there by
 * rename, whole and synced, or not at all. Several coordinators of one machine may share it.
 */
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Blob, BlobStore, StagedBlob } from '../core/ports.js';
import { deleteOld, listBlobs, restoreAside } from './blob-ages.js';
import {
  isSha256,
  missingBlob,
  onStorage,
  ranges,
  readFileInto,
  settledOnce,
} from './blob-files.js';
import { isMissing, syncDirectory } from './files.js';
import { openSpool, type SpooledFile } from './spool.js';

/**
 * Makes the directory if need be, and removes uploads that a crash cut off.
 *
 * @throws TributaryError `storage_full`, `storage_unavailable`
 */
export async function createDirectoryBlobStore(directory: string): Promise<BlobStore> {
  const root = resolve(directory);
  await onStorage(`make the blob directory ${root}`, async () => {
    await makeDirectories(root);
    await restoreAside(root);
  });
  // In the same file system: elsewhere, the rename would be a copy that a crash can cut in half.
  const spool = await openSpool(spoolIn(root));
  const pathOf = (sha256: string): string => blobPath(root, sha256);
  return {
    stage: async (source, maxBytes) => {
      const file = await spool.receive(source, maxBytes);
      return stagedBlob(file, pathOf(file.sha256));
    },
    open: async (sha256) => {
      if (!isSha256(sha256)) throw missingBlob(sha256, root);
      return openBlob(sha256, pathOf(sha256));
    },
    delete: async (sha256, storedBefore) => {
      if (!isSha256(sha256)) return;
      const path = pathOf(sha256);
      await onStorage(`delete blob ${sha256}`, () =>
        storedBefore === undefined ? rm(path, { force: true }) : deleteOld(path, storedBefore),
      );
    },
    list: () => listBlobs(root),
    tidy: () => spool.tidy(),
  };
}

/** Where uploads to a directory arrive. */
export function spoolIn(directory: string): string {
  return join(directory, 'spool');
}

/** Where a directory has the blob with this sha256. */
export function blobPath(directory: string, sha256: string): string {
  return join(directory, sha256.slice(0, 2), sha256.slice(2));
}

/**
 * All 256 at once, so that a commit has only one directory to sync: its file's. Were they made when
 * first used, a power cut could take the directory of a committed blob away.
 */
async function makeDirectories(root: string): Promise<void> {
  const made = await mkdir(root, { recursive: true, mode: 0o700 });
  const names = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
  await Promise.all(names.map((name) => mkdir(join(root, name), { recursive: true, mode: 0o700 })));
  await syncDirectory(root);
  // Not ours, so perhaps not readable to us: then the system's own write-back must do.
  if (made) await syncDirectory(dirname(root)).catch(() => undefined);
}

function stagedBlob(file: SpooledFile, target: string): StagedBlob {
  let path = file.path;
  return settledOnce({
    sha256: file.sha256,
    bytes: file.bytes,
    get where() {
      return path;
    },
    ...ranges(file.bytes, (start, out) => readFileInto(path, start, out)),
    commit: () =>
      onStorage(`commit blob ${file.sha256}`, async () => {
        // Young, however long it was judged: the collection of garbage leaves it alone.
        const now = new Date();
        await utimes(path, now, now);
        // Replaces a file of the same content: had it been damaged, it is whole again. To keep the
        // old one instead would lose the blob to somebody who is about to delete it.
        if (path !== target) await rename(path, target);
        path = target;
        await syncDirectory(dirname(target));
      }),
    discard: () =>
      onStorage('discard an upload', async () => {
        // After a commit that failed half-way, the blob may be somebody else's too: leave it.
        if (path !== target) await rm(path, { force: true });
      }),
  });
}

async function openBlob(sha256: string, path: string): Promise<Blob> {
  const bytes = await sizeOf(sha256, path);
  const read = (start: number, out: Uint8Array): Promise<void> => readFileInto(path, start, out);
  return { sha256, bytes, where: path, ...ranges(bytes, read) };
}

async function sizeOf(sha256: string, path: string): Promise<number> {
  return onStorage(`open blob ${sha256}`, async () => {
    try {
      return (await stat(path)).size;
    } catch (error) {
      throw isMissing(error) ? missingBlob(sha256, path, error) : error;
    }
  });
}
