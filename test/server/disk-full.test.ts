/** The disk is full, at each step on the way of an upload to its place: told, and nothing promised. */
import type * as Files from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { arriving, someBytes } from '../contract/blob-store.contract.js';
import { folder as root, useFolder } from '../support/folder.js';

type Step = 'open' | 'write' | 'fsync' | 'rename' | 'directory';

/** The step at which the disk is full, and the code that the system gives. */
const disk = vi.hoisted(() => ({ full: null as string | null, code: 'ENOSPC' }));

/** The system's own calls, but for the one that fails: no disk of a test can be filled. */
vi.mock('node:fs/promises', async (original) => {
  const files = await original<typeof Files>();
  const failing = (step: Step): void => {
    if (disk.full !== step) return;
    throw Object.assign(new Error(`${disk.code}: no space left on device`), { code: disk.code });
  };
  const watched = (handle: FileHandle, isWritten: boolean): FileHandle =>
    new Proxy(handle, {
      get: (of, key) => {
        const member: unknown = Reflect.get(of, key);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          if (key === 'writeFile') failing('write');
          if (key === 'sync') failing(isWritten ? 'fsync' : 'directory');
          return (member as (...given: unknown[]) => unknown).apply(of, args);
        };
      },
    });
  return {
    ...files,
    open: async (path: string, flags: string, mode?: number): Promise<FileHandle> => {
      if (flags === 'wx') failing('open');
      return watched(await files.open(path, flags, mode), flags === 'wx');
    },
    rename: async (from: string, to: string): Promise<void> => {
      failing('rename');
      await files.rename(from, to);
    },
  };
});

const { createDirectoryBlobStore } = await import('../../server/adapters/blob-directory.js');
const { limited } = await import('../../server/adapters/storage-limit.js');
const { StorageRoom } = await import('../../server/adapters/storage-room.js');
const { putBlob } = await import('../../server/engine/checkpoints.js');

useFolder();
beforeEach(() => {
  Object.assign(disk, { full: null, code: 'ENOSPC' });
});

const full = { code: 'storage_full', status: 507, retryable: true };

describe.each(['ENOSPC', 'EDQUOT'])('%s', (code) => {
  it.each(['open', 'write', 'fsync'] as const)(
    'at %s of an upload is told, and the spool is left clean',
    async (step) => {
      const directory = join(root, `${code}-${step}`);
      const blobs = await createDirectoryBlobStore(directory);
      const bytes = someBytes(100_000);
      Object.assign(disk, { full: step, code });
      const staging = blobs.stage(arriving(bytes), 200_000);
      await expect(staging).rejects.toMatchObject({ ...full, cause: { code } });
      expect(await readdir(join(directory, 'spool'))).toEqual([]);
      disk.full = null;
      const staged = await blobs.stage(arriving(bytes), 200_000);
      await staged.commit();
      expect(await (await blobs.open(staged.sha256)).read(0, 100_000)).toEqual(bytes);
    },
  );

  it.each(['rename', 'directory'] as const)(
    'at the %s of a commit is told: the same commit works when there is room',
    async (step) => {
      const blobs = await createDirectoryBlobStore(join(root, `${code}-${step}`));
      const bytes = someBytes(5000);
      const staged = await blobs.stage(arriving(bytes), 5000);
      Object.assign(disk, { full: step, code });
      await expect(staged.commit()).rejects.toMatchObject({ ...full, cause: { code } });
      disk.full = null;
      await staged.commit();
      expect(await (await blobs.open(staged.sha256)).read(0, 5000)).toEqual(bytes);
    },
  );
});

it('at the commit of a model leaves no copy of it with each attempt', async () => {
  const directory = join(root, 'models');
  const blobs = await createDirectoryBlobStore(directory);
  const room = new StorageRoom(1_000_000);
  const own = limited(blobs, room, 'coordinator');
  disk.full = 'rename';
  for (let attempt = 0; attempt < 5; attempt++) {
    await expect(putBlob(own, someBytes(5000))).rejects.toMatchObject(full);
  }
  expect(await readdir(join(directory, 'spool'))).toEqual([]);
  expect(room.usedBytes).toBe(0);
  expect(room.complaint).toContain('ENOSPC');
  disk.full = null;
  await putBlob(own, someBytes(5000));
  expect(room.usedBytes).toBe(5000);
});

it('any other failure of the disk is no matter of room', async () => {
  const blobs = await createDirectoryBlobStore(join(root, 'other'));
  Object.assign(disk, { full: 'write', code: 'EIO' });
  const staging = blobs.stage(arriving(someBytes(10)), 10);
  await expect(staging).rejects.toMatchObject({
    code: 'storage_unavailable',
    cause: { code: 'EIO' },
  });
});
