/** What every blob store promises. Run on each implementation by blob-store.*.test.ts. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { BlobStore, ListedBlob } from '../../server/core/ports.js';
import { randomStream } from '../../server/core/random.js';

export const MiB = 1024 * 1024;
const noLimit = 1024 * MiB;

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes without a pattern: a chunk in the wrong place shows. */
export function someBytes(length: number, seed = 1): Uint8Array {
  const random = randomStream(seed, 'blob');
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.uint32();
  return new Uint8Array(words.buffer, 0, length);
}

/** As a request arrives: chunks of odd sizes, in a buffer that is used again, a turn between them. */
export async function* arriving(bytes: Uint8Array, chunk = 61_001): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunk);
  for (let start = 0; start < bytes.length; start += chunk) {
    const part = bytes.subarray(start, start + chunk);
    buffer.set(part);
    await Promise.resolve();
    yield buffer.subarray(0, part.length);
  }
}

export async function store(blobs: BlobStore, bytes: Uint8Array): Promise<string> {
  const staged = await blobs.stage(arriving(bytes), noLimit);
  await staged.commit();
  return staged.sha256;
}

const missing = { code: 'blob_damaged', retryable: true };

async function listed(blobs: BlobStore): Promise<Map<string, ListedBlob>> {
  const found = new Map<string, ListedBlob>();
  for await (const blob of blobs.list()) found.set(blob.sha256, blob);
  return found;
}

/** Until the clock has moved on by so many milliseconds. */
async function moments(ms: number): Promise<void> {
  const until = Date.now() + ms;
  while (Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
}

/** @param theStore the store under test; one for all tests of the suite. */
export function blobStoreContract(name: string, theStore: () => BlobStore): void {
  describe(`the blob store in ${name}`, () => {
    it.each([0, 1, 4096, MiB - 1, MiB, MiB + 1, 5 * MiB + 12_345])(
      'gives %i bytes back as they came',
      async (length) => {
        const bytes = someBytes(length);
        const staged = await theStore().stage(arriving(bytes), length);
        expect(staged).toMatchObject({ sha256: hashOf(bytes), bytes: length });
        await staged.commit();
        const blob = await theStore().open(staged.sha256);
        expect(blob).toMatchObject({ sha256: hashOf(bytes), bytes: length });
        expect(Buffer.compare(await blob.read(0, length), bytes)).toBe(0);
      },
    );

    it('reads ranges, across the edges of chunks and up to the end', async () => {
      const bytes = someBytes(2 * MiB + 1000);
      const blob = await theStore().open(await store(theStore(), bytes));
      for (const [start, length] of [
        [0, 1],
        [1, 2],
        [MiB - 1, 1],
        [MiB - 1, 2],
        [MiB, 1],
        [MiB - 3, MiB + 6],
        [2 * MiB, 1000],
        [2 * MiB + 999, 1],
        [12_345, 0],
        [bytes.length, 0],
      ]) {
        const part = await blob.read(start, length);
        const expected = bytes.subarray(start, start + length);
        expect(Buffer.compare(part, expected), `${start}+${length}`).toBe(0);
      }
    });

    it('reads ranges straight into memory of the caller, of WebAssembly too', async () => {
      const bytes = someBytes(2 * MiB + 1000, 11);
      const staged = await theStore().stage(arriving(bytes), noLimit);
      const memory = new WebAssembly.Memory({ initial: 64 });
      const filled = new Uint8Array(memory.buffer).fill(7);
      await staged.readInto(5, filled.subarray(3, 103));
      await staged.commit();
      const blob = await theStore().open(staged.sha256);
      await blob.readInto(MiB - 3, filled.subarray(MiB, 2 * MiB + 6));
      await blob.readInto(bytes.length, filled.subarray(0, 0));
      const expected = new Uint8Array(filled.length).fill(7);
      expected.set(bytes.subarray(5, 105), 3);
      expected.set(bytes.subarray(MiB - 3, 2 * MiB + 3), MiB);
      expect(Buffer.compare(filled, expected)).toBe(0);
    });

    it('gives ranges that any typed array can be laid over', async () => {
      const blob = await theStore().open(await store(theStore(), someBytes(100)));
      const part = await blob.read(3, 64);
      expect(part.byteOffset % 8).toBe(0);
      expect(new BigInt64Array(part.buffer, part.byteOffset, 8)).toHaveLength(8);
    });

    it('refuses to read what is not there', async () => {
      const bytes = someBytes(100);
      const staged = await theStore().stage(arriving(bytes), 100);
      await expect(staged.read(90, 11)).rejects.toThrow('bytes 90 to 101 of a blob of 100');
      await staged.commit();
      const blob = await theStore().open(staged.sha256);
      for (const [start, length] of [
        [101, 0],
        [0, 101],
        [100, 1],
        [-1, 5],
        [0, -1],
        [0.5, 1],
        [0, NaN],
        [NaN, 1],
      ]) {
        await expect(blob.read(start, length)).rejects.toThrow(RangeError);
      }
      for (const start of [-1, 91, 0.5, NaN]) {
        await expect(blob.readInto(start, new Uint8Array(10))).rejects.toThrow(RangeError);
      }
    });

    it('lets a staged blob be read before and after its commit', async () => {
      const bytes = someBytes(MiB + 77, 2);
      const staged = await theStore().stage(arriving(bytes), noLimit);
      const whole = await staged.read(0, bytes.length);
      expect(Buffer.compare(whole, bytes)).toBe(0);
      await staged.commit();
      expect(await staged.read(MiB, 77)).toEqual(bytes.slice(MiB));
    });

    it('knows nothing of a blob that was only staged, or discarded', async () => {
      const staged = await theStore().stage(arriving(someBytes(1000, 3)), noLimit);
      await expect(theStore().open(staged.sha256)).rejects.toMatchObject(missing);
      await staged.discard();
      await expect(theStore().open(staged.sha256)).rejects.toMatchObject(missing);
    });

    it('settles a staged blob once', async () => {
      const committed = await theStore().stage(arriving(someBytes(10, 4)), noLimit);
      await committed.commit();
      await expect(committed.commit()).rejects.toMatchObject({ code: 'internal' });
      await expect(committed.discard()).rejects.toMatchObject({ code: 'internal' });
      expect((await theStore().open(committed.sha256)).bytes).toBe(10);

      const discarded = await theStore().stage(arriving(someBytes(10, 5)), noLimit);
      await discarded.discard();
      await expect(discarded.discard()).rejects.toMatchObject({ code: 'internal' });
      await expect(discarded.commit()).rejects.toMatchObject({ code: 'internal' });
    });

    it('stores the same content again without harm, also at the same time', async () => {
      const bytes = someBytes(MiB + 5, 6);
      const staged = await Promise.all(
        Array.from({ length: 4 }, () => theStore().stage(arriving(bytes), noLimit)),
      );
      await Promise.all(staged.map((blob) => blob.commit()));
      await store(theStore(), bytes);
      const blob = await theStore().open(hashOf(bytes));
      expect(Buffer.compare(await blob.read(0, bytes.length), bytes)).toBe(0);
    });

    it('keeps a blob when the same content, staged beside it, is discarded', async () => {
      const bytes = someBytes(500, 7);
      const [kept, dropped] = await Promise.all([
        theStore().stage(arriving(bytes), noLimit),
        theStore().stage(arriving(bytes), noLimit),
      ]);
      await kept.commit();
      await dropped.discard();
      expect(await (await theStore().open(kept.sha256)).read(0, 500)).toEqual(bytes);
    });

    it('takes exactly the limit, and stops the source at one byte more', async () => {
      const bytes = someBytes(100_000, 8);
      await (await theStore().stage(arriving(bytes, 999), 100_000)).discard();
      let ended = false;
      let given = 0;
      async function* endless(): AsyncGenerator<Uint8Array> {
        try {
          for await (const chunk of arriving(bytes, 999)) {
            given += chunk.length;
            yield chunk;
          }
        } finally {
          ended = true;
        }
      }
      await expect(theStore().stage(endless(), 50_000)).rejects.toMatchObject({
        code: 'too_large',
      });
      expect(ended).toBe(true);
      expect(given).toBeLessThan(51_000);
    });

    it('passes on what the source throws, as it is', async () => {
      const lost = new Error('the client hung up');
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield await Promise.resolve(someBytes(5000, 9));
        throw lost;
      }
      await expect(theStore().stage(broken(), noLimit)).rejects.toBe(lost);
    });

    it('deletes a blob for everybody, and a missing one without complaint', async () => {
      const bytes = someBytes(2000, 10);
      const sha256 = await store(theStore(), bytes);
      const opened = await theStore().open(sha256);
      await theStore().delete(sha256);
      await theStore().delete(sha256);
      await expect(theStore().open(sha256)).rejects.toMatchObject(missing);
      await expect(opened.read(0, 2000)).rejects.toMatchObject(missing);
      await expect(opened.readInto(0, new Uint8Array(9))).rejects.toMatchObject(missing);
      await store(theStore(), bytes);
      expect(await (await theStore().open(sha256)).read(0, 2000)).toEqual(bytes);
    });

    it.each(['', 'ABC', '../../etc/passwd', '0'.repeat(64), `${'a'.repeat(63)}\u0000`])(
      'has no blob %j',
      async (sha256) => {
        await expect(theStore().open(sha256)).rejects.toMatchObject(missing);
        await theStore().delete(sha256);
        await theStore().delete(sha256, Date.now());
      },
    );

    it('says where the bytes are, for whoever has to restore them', async () => {
      const staged = await theStore().stage(arriving(someBytes(30, 12)), noLimit);
      expect(staged.where).not.toBe('');
      await staged.commit();
      const { where } = await theStore().open(staged.sha256);
      expect(where).not.toBe('');
      expect(staged.where).toBe(where);
    });

    it('lists what is committed, with its size, and nothing that is only staged', async () => {
      const before = await listed(theStore());
      const since = Date.now();
      const sha256 = await store(theStore(), someBytes(MiB + 3, 13));
      const until = Date.now();
      const staged = await theStore().stage(arriving(someBytes(10, 14)), noLimit);
      const after = await listed(theStore());
      expect(after.size).toBe(before.size + 1);
      const { bytes, storedAt } = after.get(sha256)!;
      expect(bytes).toBe(MiB + 3);
      // A file system or a database may round what it notes.
      expect(storedAt).toBeGreaterThan(since - 1000);
      expect(storedAt).toBeLessThan(until + 1000);
      await staged.discard();
      await theStore().delete(sha256);
      expect((await listed(theStore())).has(sha256)).toBe(false);
    });

    it('deletes what is old, and leaves what was committed since', async () => {
      const bytes = someBytes(300, 15);
      const sha256 = await store(theStore(), bytes);
      await theStore().delete(sha256, Date.now() - 60_000);
      expect((await theStore().open(sha256)).bytes).toBe(300);
      await theStore().delete(sha256, Date.now() + 60_000);
      await expect(theStore().open(sha256)).rejects.toMatchObject(missing);
      await theStore().delete(sha256, Date.now() + 60_000);
    });

    it('makes content that is committed again young again', async () => {
      const bytes = someBytes(700, 16);
      const first = await store(theStore(), bytes);
      const old = (await listed(theStore())).get(first)!.storedAt;
      const staged = await theStore().stage(arriving(bytes), noLimit);
      await moments(20);
      await staged.commit();
      const { storedAt } = (await listed(theStore())).get(first)!;
      expect(storedAt).toBeGreaterThan(old + 10);
      // As a collection that had made up its mind before.
      await theStore().delete(first, (old + storedAt) / 2);
      expect(await (await theStore().open(first)).read(0, 700)).toEqual(bytes);
    });

    it('loses nothing that is committed while it is being deleted for its age', async () => {
      const bytes = someBytes(900, 17);
      for (let i = 0; i < 20; i++) {
        const sha256 = await store(theStore(), bytes);
        const staged = await theStore().stage(arriving(bytes), noLimit);
        const cutoff = (await listed(theStore())).get(sha256)!.storedAt + 1;
        await moments(3);
        await Promise.all([staged.commit(), theStore().delete(sha256, cutoff)]);
        expect(await (await theStore().open(sha256)).read(0, 900)).toEqual(bytes);
      }
    });

    it('tidies without harm to what is being staged', async () => {
      const bytes = someBytes(50, 18);
      const staged = await theStore().stage(arriving(bytes), noLimit);
      await theStore().tidy();
      await staged.commit();
      expect(await (await theStore().open(staged.sha256)).read(0, 50)).toEqual(bytes);
    });
  });
}
