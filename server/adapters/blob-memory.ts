/** Blobs in memory, for tests and simulation. */
import { createHash } from 'node:crypto';
import type { Blob, BlobStore, ListedBlob } from '../core/ports.js';
import { streamOf } from '../engine/checkpoints.js';
import type { Fill } from './blob-files.js';
import { missingBlob, ranges, settledOnce } from './blob-files.js';
import { requireSize } from './spool.js';

interface Stored {
  readonly content: Uint8Array;
  readonly storedAt: number;
}

/** @param now what the ages of blobs are counted by: the clock of whoever collects them. */
export function createMemoryBlobStore(now: () => number = Date.now): BlobStore {
  const blobs = new Map<string, Stored>();
  return {
    stage: async (source, maxBytes) => {
      const content = await collect(source, maxBytes);
      const sha256 = createHash('sha256').update(content).digest('hex');
      return settledOnce({
        ...blobOf(sha256, content.byteLength, () => content),
        commit: () => {
          blobs.set(sha256, { content, storedAt: now() });
          return Promise.resolve();
        },
        discard: () => Promise.resolve(),
      });
    },
    open: (sha256) => {
      const bytes = blobs.get(sha256)?.content.byteLength;
      if (bytes === undefined) return Promise.reject(missingBlob(sha256, WHERE));
      return Promise.resolve(blobOf(sha256, bytes, () => blobs.get(sha256)?.content));
    },
    delete: (sha256, storedBefore = Infinity) => {
      const stored = blobs.get(sha256);
      if (stored && stored.storedAt < storedBefore) blobs.delete(sha256);
      return Promise.resolve();
    },
    list: () => streamOf(listed(blobs)),
    tidy: () => Promise.resolve(),
  };
}

const WHERE = 'memory';

function* listed(blobs: ReadonlyMap<string, Stored>): Generator<ListedBlob> {
  for (const [sha256, { content, storedAt }] of blobs) {
    yield { sha256, bytes: content.byteLength, storedAt };
  }
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
    if (!present) return Promise.reject(missingBlob(sha256, WHERE));
    out.set(present.subarray(start, start + out.byteLength));
    return Promise.resolve();
  };
  return { sha256, bytes, where: WHERE, ...ranges(bytes, fill) };
}
