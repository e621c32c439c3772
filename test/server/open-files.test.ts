/** A round of a thousand updates on a process that may open a thousand files, sockets included. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AtMost } from '../../server/adapters/at-most.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { readFileInto } from '../../server/adapters/blob-files.js';
import { OpenFiles } from '../../server/adapters/open-files.js';
import type { BlobStore } from '../../server/core/ports.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { Gate } from '../support/gate.js';

describe('work that is held to so much at once', () => {
  it('goes on in turn, and others get the place of what failed', async () => {
    const turns = new AtMost(2);
    const gates = Array.from({ length: 5 }, () => new Gate());
    const begun: number[] = [];
    const all = gates.map((gate, i) =>
      turns.run(async () => {
        begun.push(i);
        await gate.pass();
        if (i === 1) throw new Error('failed');
        return i;
      }),
    );
    const settled = Promise.allSettled(all);
    const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await soon();
    expect(begun).toEqual([0, 1]);
    gates[1].open();
    await soon();
    expect(begun).toEqual([0, 1, 2]);
    for (const gate of gates) gate.open();
    const results = await settled;
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual([
      ...[true, false, true, true, true],
    ]);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    await expect(turns.run(() => Promise.resolve('later'))).resolves.toBe('later');
  });
});

describe.skipIf(process.platform !== 'linux')('blobs in a directory (needs /proc)', () => {
  const count = 300;
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tributary-files-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('are read hundreds at once with few open files', async () => {
    const blobs = await createDirectoryBlobStore(directory);
    const hashes: string[] = [];
    for (let i = 0; i < count; i++) {
      hashes.push((await putBlob(blobs, Uint8Array.of(i % 256, i >> 8))).sha256);
    }
    const opened = await Promise.all(hashes.map((sha256) => blobs.open(sha256)));
    const before = (await readdir('/proc/self/fd')).length;
    let done = false;
    const reading = Promise.all(opened.map((blob) => blob.read(0, 2))).finally(() => (done = true));
    let most = 0;
    // The test runner opens files of its own beside: a few more do not matter.
    const isDone = (): boolean => done;
    while (!isDone()) most = Math.max(most, (await readdir('/proc/self/fd')).length);
    expect((await reading).map(([low, high]) => low + 256 * high)).toEqual(hashes.map((_, i) => i));
    expect(most - before).toBeLessThan(100);
  });
});

describe('more than two gigabytes at once', () => {
  /** Of memory that nobody touches: the system gives none for it. */
  const large = new Uint8Array(2 ** 31 + 16);
  let directory: string;
  let path: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tributary-large-'));
    path = join(directory, 'blob');
    await writeFile(path, Uint8Array.of(5, 7, 9));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  // Without a bound on each read, the first of these ends the process, and this file with it.
  it('are read in pieces, up to where the file ends', async () => {
    const ends = { code: 'blob_damaged', message: `${path} ends at byte 3` };
    await expect(readFileInto(path, 0, large)).rejects.toMatchObject(ends);
    const files = new OpenFiles();
    expect(() => files.read(path, 0, large)).toThrow(ends.message);
    files.close();
    expect([...large.subarray(0, 4)]).toEqual([5, 7, 9, 0]);
  });

  it('are stored in pieces that a hash takes', async () => {
    const pieces: number[] = [];
    const counting: Pick<BlobStore, 'stage'> = {
      stage: async (source) => {
        for await (const piece of source) pieces.push(piece.byteLength);
        const done = Promise.resolve();
        return {
          ...{ sha256: '', bytes: 0, where: '', commit: () => done, discard: () => done },
          read: () => Promise.resolve(large),
          readInto: () => done,
        };
      },
    };
    await putBlob(counting, large);
    expect(Math.max(...pieces)).toBeLessThan(2 ** 31);
    expect(pieces.reduce((sum, length) => sum + length, 0)).toBe(2 ** 31 + 16);
  });
});
