import { mkdtemp, readdir, readlink, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlockingBlobs } from '../../server/adapters/blob-blocking.js';
import { createBlockingBlobStore } from '../../server/adapters/blob-blocking.js';
import { blobPath } from '../../server/adapters/blob-directory.js';
import { OpenFiles } from '../../server/adapters/open-files.js';
import { blobStoreContract, someBytes, store } from './blob-store.contract.js';

let root: string;
let blobs: BlockingBlobs;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tributary-blocking-'));
  blobs = await createBlockingBlobStore(root);
});
afterAll(async () => {
  blobs.closeFiles();
  await rm(root, { recursive: true, force: true });
});

blobStoreContract('a directory whose readers block', () => blobs);

describe('a directory whose readers block', () => {
  it('says what is wrong with a file that was damaged after it was opened', async () => {
    const sha256 = await store(blobs, someBytes(5000, 21));
    const blob = await blobs.open(sha256);
    await blob.read(0, 10);
    await truncate(blobPath(root, sha256), 4000);
    await expect(blob.read(3990, 20)).rejects.toMatchObject({
      code: 'blob_damaged',
      message: expect.stringContaining('4000') as string,
    });
  });

  // Only Linux lists a process's descriptors as files.
  it.skipIf(process.platform !== 'linux')(
    'holds so many files open, and at the end none',
    async () => {
      const hashes: string[] = [];
      for (let i = 0; i < 100; i++) hashes.push(await store(blobs, someBytes(64, 100 + i)));
      const opened = await Promise.all(hashes.map((sha256) => blobs.open(sha256)));
      for (let tile = 0; tile < 2; tile++) {
        const parts = await Promise.all(opened.map((blob) => blob.read(32 * tile, 32)));
        parts.forEach((part, i) => {
          expect(part).toEqual(someBytes(64, 100 + i).slice(32 * tile, 32 * tile + 32));
        });
        expect(await openIn(root)).toHaveLength(64);
      }
      blobs.closeFiles();
      expect(await openIn(root)).toEqual([]);
      expect(await opened[3].read(0, 64)).toEqual(someBytes(64, 103));
      blobs.closeFiles();
    },
  );

  it.skipIf(process.platform !== 'linux')('closes what was read longest ago', async () => {
    const paths: string[] = [];
    for (const seed of [31, 32, 33]) {
      paths.push(blobPath(root, await store(blobs, someBytes(8, seed))));
    }
    const [a, b, c] = paths;
    const files = new OpenFiles(2);
    const out = new Uint8Array(8);
    for (const path of [a, b, a, c]) files.read(path, 0, out);
    expect(out).toEqual(someBytes(8, 33));
    expect(await openIn(root)).toEqual([a, c].sort());
    files.close();
    expect(await openIn(root)).toEqual([]);
  });
});

/** Files under `directory` that this process has open. */
async function openIn(directory: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd');
  const targets = await Promise.all(
    descriptors.map((fd) => readlink(join('/proc/self/fd', fd)).catch(() => '')),
  );
  return targets.filter((target) => target.startsWith(directory)).sort();
}
