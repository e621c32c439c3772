/** A blob store in memory, with the one verb more that these tests need. */
import { createMemoryBlobStore } from '../../../server/adapters/blob-memory.js';
import type { Blob, BlobStore } from '../../../server/core/ports.js';
import { putBlob } from '../../../server/engine/checkpoints.js';

export interface TestBlobs extends BlobStore {
  /** A property, not a method: tests replace it to count. */
  open: (sha256: string) => Promise<Blob>;
  put(bytes: Uint8Array): Promise<string>;
}

export function testBlobs(): TestBlobs {
  const blobs = createMemoryBlobStore();
  return { ...blobs, put: async (bytes) => (await putBlob(blobs, bytes)).sha256 };
}
