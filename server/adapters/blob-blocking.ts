/** The blobs of a directory, read in many small ranges without giving the thread away. */
import type { Blob, BlobStore } from '../core/ports.js';
import { blobPath, createDirectoryBlobStore } from './blob-directory.js';
import { damaged, onStorage, ranges } from './blob-files.js';
import { isMissing } from './files.js';
import { OpenFiles } from './open-files.js';

export interface BlockingBlobs extends BlobStore {
  /** Closes the files that were read. They may be read again. */
  closeFiles(): void;
}

/**
 * As `createDirectoryBlobStore`, but for a thread that has nothing else to do: reading blocks it, and
 * files stay open between two reads (see {@link OpenFiles}). On most systems, a blob that was deleted
 * can be read until then.
 *
 * @throws TributaryError `storage_full`, `storage_unavailable`
 */
export async function createBlockingBlobStore(directory: string): Promise<BlockingBlobs> {
  const store = await createDirectoryBlobStore(directory);
  const files = new OpenFiles();
  const readable = ({ sha256, bytes, where }: Blob): Blob => {
    const path = blobPath(directory, sha256);
    const read = (start: number, out: Uint8Array): Promise<void> =>
      // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must reject
      onStorage(`read ${path}`, async () => readNow(files, path, start, out));
    return { sha256, bytes, where, ...ranges(bytes, read) };
  };
  return {
    stage: (source, maxBytes) => store.stage(source, maxBytes),
    open: async (sha256) => readable(await store.open(sha256)),
    delete: (sha256, storedBefore) => store.delete(sha256, storedBefore),
    list: () => store.list(),
    tidy: () => store.tidy(),
    closeFiles: () => files.close(),
  };
}

function readNow(files: OpenFiles, path: string, start: number, out: Uint8Array): void {
  try {
    files.read(path, start, out);
  } catch (error) {
    throw isMissing(error) ? damaged(`${path} is missing`, error) : error;
  }
}
