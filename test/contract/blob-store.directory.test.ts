import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { blobPath, createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import type { BlobStore } from '../../server/core/ports.js';
import { folder as root, useFolder } from '../support/folder.js';
import { arriving, blobStoreContract, MiB, someBytes, store } from './blob-store.contract.js';

useFolder();

let blobs: BlobStore;
beforeAll(async () => {
  blobs = await createDirectoryBlobStore(join(root, 'contract'));
});

blobStoreContract('a directory', () => blobs);

describe('the blob store in a directory', () => {
  it('lays blobs out by hash, as plain files that nobody else can read', async () => {
    const directory = join(root, 'layout');
    const bytes = someBytes(1234);
    const sha256 = await store(await createDirectoryBlobStore(directory), bytes);
    const path = join(directory, sha256.slice(0, 2), sha256.slice(2));
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    expect((await stat(path)).mode & 0o077).toBe(0);
    expect(await readdir(join(directory, 'spool'))).toEqual([]);
  });

  it('leaves nothing in the spool, however an upload ends', async () => {
    const directory = join(root, 'clean');
    const own = await createDirectoryBlobStore(directory);
    const bytes = someBytes(3000);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytes);
      throw new Error('cut off');
    }
    await expect(own.stage(broken(), MiB)).rejects.toThrow('cut off');
    await expect(own.stage(arriving(bytes, 100), 2000)).rejects.toThrow('more than 2000 bytes');
    await (await own.stage(arriving(bytes), MiB)).discard();
    await (await own.stage(arriving(bytes), MiB)).commit();
    await (await own.stage(arriving(bytes), MiB)).commit();
    expect(await readdir(join(directory, 'spool'))).toEqual([]);
  });

  it('finds its blobs again after a restart', async () => {
    const directory = join(root, 'restart');
    const bytes = someBytes(777);
    const sha256 = await store(await createDirectoryBlobStore(directory), bytes);
    const again = await createDirectoryBlobStore(directory);
    expect(await (await again.open(sha256)).read(0, 777)).toEqual(bytes);
  });

  it('removes what a killed process spooled, and nothing that is alive', async () => {
    const directory = join(root, 'leftovers');
    const spool = join(directory, 'spool');
    const own = await createDirectoryBlobStore(directory);
    const alive = await own.stage(arriving(someBytes(10)), MiB);
    const [aliveName] = await readdir(spool);
    const [host, mark, thread, id] = aliveName.split('.');
    const dead = `${host}.${await markOfDead()}.${thread}.${id}`;
    const deadOfBefore = `${host}.${await markOfDead()}.${id}`;
    const reused = `${host}.${mark.replace(/-\d+$/, '-1')}.${thread}.${id}`;
    const foreign = `${'0'.repeat(12)}.${mark}.${thread}.${id}`;
    const old = `${'1'.repeat(12)}.${mark}.${thread}.${id}`;
    for (const name of [dead, deadOfBefore, reused, foreign, old, 'notes.txt']) {
      await writeFile(join(spool, name), 'x');
    }
    const twoDaysAgo = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
    await utimes(join(spool, old), twoDaysAgo, twoDaysAgo);
    await utimes(join(spool, aliveName), twoDaysAgo, twoDaysAgo);

    await createDirectoryBlobStore(directory);
    expect((await readdir(spool)).sort()).toEqual([aliveName, foreign, 'notes.txt'].sort());
    await alive.commit();
    expect((await own.open(alive.sha256)).bytes).toBe(10);
  });

  it('removes what a process that ended meanwhile left, though nobody starts', async () => {
    const directory = join(root, 'tidied');
    const [own, other] = [
      await createDirectoryBlobStore(directory),
      await createDirectoryBlobStore(directory),
    ];
    const alive = await other.stage(arriving(someBytes(10)), MiB);
    const [aliveName] = await readdir(join(directory, 'spool'));
    const [host, , thread, id] = aliveName.split('.');
    const dead = `${host}.${await markOfDead()}.${thread}.${id}`;
    await writeFile(join(directory, 'spool', dead), 'half an upload');
    await own.tidy();
    expect(await readdir(join(directory, 'spool'))).toEqual([aliveName]);
    await alive.discard();
  });

  it('puts back what a killed process had moved aside to look at its age', async () => {
    const directory = join(root, 'aside');
    const bytes = someBytes(400, 3);
    const sha256 = await store(await createDirectoryBlobStore(directory), bytes);
    const path = blobPath(directory, sha256);
    await rename(path, `${path}.aside`);
    const again = await createDirectoryBlobStore(directory);
    expect(await (await again.open(sha256)).read(0, 400)).toEqual(bytes);
    expect(await readdir(dirname(path))).toEqual([basename(path)]);
  });

  it('makes a damaged blob whole when its content is stored again', async () => {
    const directory = join(root, 'damage');
    const own = await createDirectoryBlobStore(directory);
    const bytes = someBytes(5000);
    const sha256 = await store(own, bytes);
    const opened = await own.open(sha256);
    await truncate(join(directory, sha256.slice(0, 2), sha256.slice(2)), 4000);
    await expect(opened.read(3990, 20)).rejects.toMatchObject({ code: 'blob_damaged' });
    await store(own, bytes);
    expect(await opened.read(0, 5000)).toEqual(bytes);
  });

  // Only Linux lists a process's descriptors as files.
  it.skipIf(process.platform !== 'linux')('holds no file open, however many blobs', async () => {
    const directory = join(root, 'descriptors');
    const own = await createDirectoryBlobStore(directory);
    const before = await openDescriptors(directory);
    const opened = [];
    for (let seed = 0; seed < 20; seed++) {
      const staged = await own.stage(arriving(someBytes(100, seed)), MiB);
      await staged.read(0, 10);
      await staged.commit();
      opened.push(await own.open(staged.sha256));
    }
    await Promise.all(opened.map((blob) => blob.read(5, 50)));
    expect(before).toEqual([]);
    expect(await openDescriptors(directory)).toEqual([]);
  });

  it('says storage_unavailable when the disk fails, and the upload can be tried again', async () => {
    const directory = join(root, 'failing');
    const own = await createDirectoryBlobStore(directory);
    const bytes = someBytes(100);
    const staged = await own.stage(arriving(bytes), MiB);
    const target = join(directory, staged.sha256.slice(0, 2));
    await rm(target, { recursive: true });
    await writeFile(target, 'a file where the directory was');
    await expect(staged.commit()).rejects.toMatchObject({
      code: 'storage_unavailable',
      retryable: true,
      cause: { code: 'ENOTDIR' },
    });
    await rm(target);
    await mkdir(target);
    await staged.commit();
    expect(await (await own.open(staged.sha256)).read(0, 100)).toEqual(bytes);

    await rm(join(directory, 'spool'), { recursive: true });
    await expect(own.stage(arriving(bytes), MiB)).rejects.toMatchObject({
      code: 'storage_unavailable',
      cause: { code: 'ENOENT' },
    });
  });

  // Windows has no such limit.
  it.skipIf(process.platform === 'win32')(
    'says so when the disk is full in mid-upload',
    async () => {
      const script = fileURLToPath(new URL('../support/stage-limited.ts', import.meta.url));
      const limited = 'ulimit -f 2048 && exec "$0" --import tsx "$@"'; // 1 or 2 MiB, by the shell
      const args = ['-c', limited, process.execPath, script, join(root, 'full'), String(8 * MiB)];
      const { stdout } = await promisify(execFile)('/bin/sh', args);
      expect(JSON.parse(stdout)).toEqual({ code: 'storage_unavailable', cause: 'EFBIG', left: [] });
    },
  );

  it('cannot be made where a file is in the way', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(createDirectoryBlobStore(join(root, 'file', 'blobs'))).rejects.toMatchObject({
      code: 'storage_unavailable',
    });
  });
});

/** The mark of a process that has ended, as the spool writes it. */
async function markOfDead(): Promise<string> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'close');
  return `${child.pid ?? 0}-1`;
}

async function openDescriptors(directory: string): Promise<string[]> {
  const links = await readdir('/proc/self/fd');
  const targets = await Promise.all(
    links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return targets.filter((target) => target.startsWith(directory));
}
