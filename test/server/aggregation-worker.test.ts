/** Threads that aggregate: what becomes of a round when one dies, hangs, or is not there. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { Starters, input, odd, threadOf } from './support/odd-pool.js';

async function* arriving(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Uint8Array.of(1, 2, 3));
}

describe('a pool of aggregation workers', () => {
  it('keeps its threads, and passes on what aggregating throws', async () => {
    const pool = odd();
    const first = await threadOf(pool.aggregate(input('answers')));
    await expect(pool.aggregate(input('refuses'))).rejects.toMatchObject({
      name: 'TributaryError',
      code: 'rule_needs',
      message: 'no target',
      details: { path: 'x' },
    });
    expect(await threadOf(pool.aggregate(input('answers')))).toBe(first);
  });

  it.each([
    ['exits', 'it exited with code 3'],
    ['throws', 'nobody catches this'],
  ])('starts another thread where one %s, and lets the round be tried again', async (deed, why) => {
    const pool = odd();
    const first = await threadOf(pool.aggregate(input('answers')));
    const died = await pool.aggregate(input(deed)).catch((error: unknown) => error);
    expect(died).toMatchObject({ code: 'storage_unavailable', retryable: true });
    expect(died).toHaveProperty('message', `the aggregation worker ended: ${why}`);
    expect(await threadOf(pool.aggregate(input('answers')))).not.toBe(first);
  });

  it('gives a round up that takes its worker along again and again, and no other one', async () => {
    const pool = odd();
    const codes: unknown[] = [];
    for (const round of [1, 1, 2, 1, 1]) {
      const error: unknown = await pool.aggregate(input('exits', round)).catch((e: unknown) => e);
      codes.push(error instanceof TributaryError ? error.code : error);
    }
    const away = 'storage_unavailable';
    expect(codes).toEqual([away, away, away, 'internal', away]);
  });

  it('aggregates so many rounds at once, and the others after them', async () => {
    const pool = odd({ size: 2 });
    const starters = new Starters();
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const signals = { channel: starters.name, gate };
    const all = [1, 2, 3].map((round) => threadOf(pool.aggregate(input('waits', round, signals))));
    await starters.are(2);
    expect(new Set(starters.threads).size).toBe(2);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(new Set(await Promise.all(all))).toEqual(new Set(starters.threads));
    starters.close();
  });

  it('ends a round that takes too long, with the reason', async () => {
    const pool = odd({ limitMs: 1000 });
    const signals = { channel: 'nobody listens' };
    await expect(pool.aggregate(input('loops', 1, signals))).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('TRIBUTARY_AGGREGATION_LIMIT_MS') as string,
    });
    await threadOf(pool.aggregate(input('answers')));
  });

  it('ends a round that nobody waits for any more, and none that has not begun', async () => {
    const pool = odd();
    const starters = new Starters();
    const [first, second] = [new AbortController(), new AbortController()];
    const over = { code: 'run_over', message: 'run "loops" was stopped' };
    const signals = { channel: starters.name };
    const looping = pool.aggregate(input('loops', 1, signals), first.signal);
    const waiting = pool.aggregate(input('loops', 2, signals), second.signal);
    await starters.are(1);
    second.abort();
    first.abort();
    await expect(looping).rejects.toMatchObject(over);
    await expect(waiting).rejects.toMatchObject(over);
    await threadOf(pool.aggregate(input('answers')));
    expect(starters.threads).toHaveLength(1);
    starters.close();
  });

  it('leaves a thread alone whose round was over before it was stopped', async () => {
    const pool = odd();
    const controller = new AbortController();
    const first = await threadOf(pool.aggregate(input('answers'), controller.signal));
    controller.abort();
    expect(await threadOf(pool.aggregate(input('answers')))).toBe(first);
  });

  it('removes what a thread was writing when it died, and nothing of the others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-spooled-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const staged = await (await createDirectoryBlobStore(folder)).stage(arriving(), 10);
    const spool = join(folder, 'spool');
    const [ours] = await readdir(spool);
    const spooled = join(spool, ours.split('.').slice(0, 2).join('.'));
    const pool = odd({ blobs: { kind: 'directory', folder } });
    const died = pool.aggregate(input('spools', 1, { spooled }));
    await expect(died).rejects.toMatchObject({ code: 'storage_unavailable' });
    await pool.close();
    expect(await readdir(spool)).toEqual([ours]);
    await staged.discard();
  });

  it('closes at once, whatever is under way, and starts nothing afterwards', async () => {
    const pool = odd();
    const starters = new Starters();
    const signals = { channel: starters.name };
    const stopping = { code: 'storage_unavailable', message: 'the coordinator is stopping' };
    const looping = expect(pool.aggregate(input('loops', 1, signals))).rejects.toMatchObject(
      stopping,
    );
    const waiting = expect(pool.aggregate(input('answers'))).rejects.toMatchObject(stopping);
    await starters.are(1);
    starters.close();
    await pool.close();
    await Promise.all([looping, waiting]);
    await expect(pool.aggregate(input('answers'))).rejects.toMatchObject(stopping);
  });
});
