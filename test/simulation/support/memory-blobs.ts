/** A blob store in memory, as small as these tests need it. */
import { createHash } from 'node:crypto';
import { TributaryError } from '../../../protocol/errors.js';
import type { Blob, BlobStore } from '../../../server/core/ports.js';

export interface TestBlobs extends BlobStore {
  /** A property, not a method: tests replace it to count. */
  open: (sha256: string) => Promise<Blob>;
  put(bytes: Uint8Array): Promise<string>;
}

export function testBlobs(): TestBlobs {
  const stored = new Map<string, Uint8Array>();
  const blobOf = (bytes: Uint8Array): Blob => ({
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.byteLength,
    read: (start, length) => Promise.resolve(bytes.subarray(start, start + length)),
    readInto: (start, out) => {
      out.set(bytes.subarray(start, start + out.length));
      return Promise.resolve();
    },
  });
  const store: TestBlobs = {
    async stage(source, maxBytes) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) chunks.push(chunk);
      const bytes = new Uint8Array(Buffer.concat(chunks));
      if (bytes.byteLength > maxBytes) throw new TributaryError('too_large', 'too large');
      const blob = blobOf(bytes);
      return {
        ...blob,
        commit: () => Promise.resolve(void stored.set(blob.sha256, bytes)),
        discard: () => Promise.resolve(),
      };
    },
    open(sha256) {
      const bytes = stored.get(sha256);
      return bytes
        ? Promise.resolve(blobOf(bytes))
        : Promise.reject(new TributaryError('storage_unavailable', `no blob ${sha256}`));
    },
    delete: (sha256) => Promise.resolve(void stored.delete(sha256)),
    put(bytes) {
      const blob = blobOf(bytes);
      stored.set(blob.sha256, bytes);
      return Promise.resolve(blob.sha256);
    },
  };
  return store;
}
