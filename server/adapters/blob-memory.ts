/** Blobs in memory, for tests and simulation. */
import { createHash } from 'node:crypto';
import type { Blob, BlobStore } from '../core/ports.js';
import type { Fill } from './blob-files.js';
import { missingBlob, ranges, settledOnce } from './blob-files.js';
import { requireSize } from './spool.js';

export function createMemoryBlobStore(): BlobStore {
  const blobs = new Map<string, Uint8Array>();
  return {
    stage: async (source, maxBytes) => {
      const content = await collect(source, maxBytes);
      const sha256 = createHash('sha256').update(content).digest('hex');
      return settledOnce({
        ...blobOf(sha256, content.byteLength, () => content),
        commit: () => {
          blobs.set(sha256, content);
          return Promise.resolve();
        },
        discard: () => Promise.resolve(),
      });
    },
    open: (sha256) => {
      const content = blobs.get(sha256);
      if (!content) return Promise.reject(missingBlob(sha256));
      return Promise.resolve(blobOf(sha256, content.byteLength, () => blobs.get(sha256)));
    },
    delete: (sha256) => {
      blobs.delete(sha256);
      return Promise.resolve();
    },
  };
}

async function collect(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.byteLength;
    requireSize(bytes, maxBytes);
    chunks.push(new Uint8Array(chunk)); // a copy: the source may use its buffer again
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Looks the content up for each read: a blob that was deleted is gone for those who opened it too. */
function blobOf(sha256: string, bytes: number, content: () => Uint8Array | undefined): Blob {
  const fill: Fill = (start, out) => {
    const present = content();
    if (!present) return Promise.reject(missingBlob(sha256));
    out.set(present.subarray(start, start + out.byteLength));
    return Promise.resolve();
  };
  return { sha256, bytes, ...ranges(bytes, fill) };
}
