/** A limit of our own on what blobs and uploads take: kept, said, and nobody else's loss. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { limited } from '../../server/adapters/storage-limit.js';
import { StorageRoom } from '../../server/adapters/storage-room.js';
import type { BlobStore } from '../../server/core/ports.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { arriving, someBytes, store } from '../contract/blob-store.contract.js';
import { folder as root, useFolder } from '../support/folder.js';

useFolder();

interface Limited {
  readonly room: StorageRoom;
  readonly plain: BlobStore;
  readonly uploads: BlobStore;
  readonly own: BlobStore;
}

function limitedTo(limitBytes: number, plain: BlobStore = createMemoryBlobStore()): Limited {
  const room = new StorageRoom(limitBytes);
  return {
    ...{ room, plain },
    uploads: limited(plain, room, 'clients'),
    own: limited(plain, room, 'coordinator'),
  };
}

const full = { code: 'storage_full', status: 507, retryable: true };

/** Sends one chunk, and the rest when it is told to. */
function halting(bytes: Uint8Array, first: number) {
  let goOn!: () => void;
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  async function* source(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, first);
    await gate;
    yield bytes.subarray(first);
  }
  return { source, goOn };
}

describe('a storage with a limit', () => {
  it('refuses the upload that would go beyond, when to come again, and leaves nothing of it', async () => {
    const directory = join(root, 'full');
    const { uploads, room, plain } = limitedTo(10_000, await createDirectoryBlobStore(directory));
    await store(uploads, someBytes(5000, 1));
    const refused = uploads.stage(arriving(someBytes(5000, 2), 500), 10_000);
    await expect(refused).rejects.toMatchObject({
      ...full,
      message: expect.stringContaining('of 10000 are taken') as string,
      details: { limitBytes: 10_000 },
    });
    const { retryAfterMs } = (await refused.catch((error: unknown) => error)) as {
      retryAfterMs: number;
    };
    expect(retryAfterMs).toBeGreaterThanOrEqual(5000);
    expect(await readdir(join(directory, 'spool'))).toEqual([]);
    expect(room.usedBytes).toBe(5000);
    let stored = 0;
    for await (const { bytes } of plain.list()) stored += bytes;
    expect(stored).toBe(5000);
  });

  it('lets uploads that are under way end, though another one is refused', async () => {
    const { uploads, room } = limitedTo(10_000);
    const bytes = someBytes(4000, 3);
    const { source, goOn } = halting(bytes, 1000);
    const staging = uploads.stage(source(), 4000);
    await expect(uploads.stage(arriving(someBytes(9000, 4), 3000), 9000)).rejects.toMatchObject(
      full,
    );
    goOn();
    const staged = await staging;
    await staged.commit();
    expect(await staged.read(0, 4000)).toEqual(bytes);
    expect(room.usedBytes).toBe(4000);
  });

  it('has room again at once when a blob is deleted or an upload discarded', async () => {
    const { uploads } = limitedTo(10_000);
    const first = await store(uploads, someBytes(6000, 5));
    const again = (): Promise<unknown> => uploads.stage(arriving(someBytes(6000, 6)), 6000);
    await expect(again()).rejects.toMatchObject(full);
    await uploads.delete(first);
    const staged = await uploads.stage(arriving(someBytes(6000, 6)), 6000);
    await expect(again()).rejects.toMatchObject(full);
    await staged.discard();
    await again();
  });

  it('keeps a tenth for the models of the coordinator, which end at the limit', async () => {
    const { uploads, own, room } = limitedTo(10_000);
    await expect(store(uploads, someBytes(9001, 7))).rejects.toMatchObject(full);
    await store(uploads, someBytes(9000, 8));
    await expect(store(uploads, someBytes(1, 9))).rejects.toMatchObject({
      message: expect.stringContaining('1000 are kept for models') as string,
    });
    await putBlob(own, someBytes(1000, 10));
    await expect(putBlob(own, someBytes(1, 11))).rejects.toMatchObject(full);
    expect(room.usedBytes).toBe(10_000);
  });

  it('counts the same content once, and what is damaged as what it has', async () => {
    const { uploads, room } = limitedTo(10_000);
    const sha256 = await store(uploads, someBytes(3000, 12));
    await store(uploads, someBytes(3000, 12));
    expect(room.usedBytes).toBe(3000);
    await uploads.delete(sha256, 0);
    expect(room.usedBytes).toBe(3000);
    await uploads.delete(sha256);
    await uploads.delete(sha256);
    expect(room.usedBytes).toBe(0);
  });

  it('counts what other threads store, and what there was before', async () => {
    const { plain, room, own } = limitedTo(10_000);
    await store(plain, someBytes(2000, 13));
    expect(room.usedBytes).toBe(0);
    await room.recount(plain);
    expect(room.usedBytes).toBe(2000);
    const there = limited(plain, new StorageRoom(room.shared), 'coordinator');
    await putBlob(there, someBytes(7000, 14));
    expect(room.usedBytes).toBe(9000);
    await expect(putBlob(own, someBytes(2000, 15))).rejects.toMatchObject(full);
    await expect(putBlob(there, someBytes(2000, 15))).rejects.toMatchObject(full);
  });

  it('says that it is full, until something is stored again', async () => {
    const { uploads, room } = limitedTo(1000);
    expect(room.complaint).toBeNull();
    await expect(store(uploads, someBytes(2000, 16))).rejects.toMatchObject(full);
    expect(room.complaint).toContain('of 1000 are taken');
    await store(uploads, someBytes(10, 17));
    expect(room.complaint).toBeNull();
  });

  it('never lets more be stored than the limit, whoever comes together', async () => {
    const { uploads, room, plain } = limitedTo(100_000);
    const attempts = Array.from({ length: 60 }, (_, i) => store(uploads, someBytes(4000, 100 + i)));
    const results = await Promise.allSettled(attempts);
    expect(results.some(({ status }) => status === 'fulfilled')).toBe(true);
    expect(results.some(({ status }) => status === 'rejected')).toBe(true);
    let stored = 0;
    for await (const { bytes } of plain.list()) stored += bytes;
    expect(stored).toBeLessThanOrEqual(90_000);
    expect(room.usedBytes).toBe(stored);
  });
});

it('without a limit, whatever the disk takes is taken', async () => {
  const { uploads, room } = limitedTo(Infinity);
  await store(uploads, someBytes(100_000, 18));
  expect(room.isLimited).toBe(false);
});
