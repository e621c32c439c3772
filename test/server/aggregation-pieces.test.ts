/** Pieces of a large round, as the workers of a pool offer them to each other. */
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { ThreadPool } from '../../server/adapters/aggregation/pool.js';
import { AggregationThread } from '../../server/adapters/aggregation/thread.js';
import type { Aggregator } from '../../server/engine/aggregator.js';
import type { NamedBlob, Piece } from '../../server/engine/pieces.js';
import type { Signals } from './support/odd-pool.js';
import { ODD_WORKER, Starters, input, noOracles, odd, threadOf } from './support/odd-pool.js';

describe('a piece that a worker offers to the others', () => {
  function piece(what: string, signals: Signals = {}): Piece {
    const blob: NamedBlob = { sha256: '0'.repeat(64), what, ...signals };
    return { kind: 'verify', blobs: [blob] };
  }

  async function offered(pool: Aggregator, what: string, signals?: Signals): Promise<unknown> {
    return pool.aggregate(input('offers', 1, { piece: piece(what, signals) }));
  }

  /** With two threads that have both answered once. */
  async function awake(): Promise<Aggregator> {
    const pool = odd({ size: 2 });
    const starters = new Starters();
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const signals = { channel: starters.name, gate };
    const both = [1, 2].map((round) => pool.aggregate(input('waits', round, signals)));
    await starters.are(2);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await Promise.all(both);
    starters.close();
    return pool;
  }

  it('is done by one that has nothing else to do', async () => {
    expect(await offered(await awake(), 'answers')).toBe(true);
  });

  it('is nobody’s where there is no other thread', async () => {
    const pool = odd({ size: 1 });
    expect(await offered(pool, 'answers')).toBe(false);
    expect(await offered(pool, 'answers')).toBe(false);
  });

  it('waits for no thread to start, and finds it started later', async () => {
    const pool = odd({ size: 2 });
    expect(await offered(pool, 'answers')).toBe(false);
    await expect.poll(() => offered(pool, 'answers')).toBe(true);
  });

  it('is not done by a thread that has a round of its own', async () => {
    const pool = await awake();
    const starters = new Starters();
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const busy = pool.aggregate(input('waits', 2, { channel: starters.name, gate }));
    await starters.are(1);
    expect(await offered(pool, 'answers')).toBe(false);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await busy;
    expect(await offered(pool, 'answers')).toBe(true);
    starters.close();
  });

  it('costs no round its result where no thread can be started for it', async () => {
    const settings = { blobs: { kind: 'directory', folder: '/nowhere' }, size: 2 } as const;
    const offer = (): Promise<boolean> => Promise.resolve(false);
    let started = 0;
    const start = (): AggregationThread => {
      if (started++ > 0) throw new Error('no more threads');
      return new AggregationThread(ODD_WORKER, settings, { oracles: noOracles, offer });
    };
    const pool = new ThreadPool({ start, size: 2, limitMs: 60_000 });
    for (const deed of ['answers', 'answers']) {
      const round = pool.run(async (thread) => {
        expect(await pool.runNow(() => Promise.resolve('helped'))).toBeNull();
        return thread.aggregate(input(deed));
      });
      expect(await threadOf(round)).toBeGreaterThan(0);
    }
    expect(started).toBe(3);
    await pool.close();
  });

  it('fails with what doing it threw', async () => {
    const pool = await awake();
    const refused = offered(pool, 'refuses');
    await expect(refused).rejects.toMatchObject({ code: 'rule_needs', details: { path: 'x' } });
    expect(await offered(pool, 'answers')).toBe(true);
  });

  it('lets the round be tried again where its thread died, and not for ever', async () => {
    const pool = await awake();
    const codes: unknown[] = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      const died: unknown = await offered(pool, 'exits').catch((error: unknown) => error);
      codes.push(died instanceof TributaryError ? died.code : died);
      // Another round, until there is a thread in the place of the one that died.
      const other = input('offers', 2, { piece: piece('answers') });
      await expect.poll(() => pool.aggregate(other)).toBe(true);
    }
    expect(codes).toEqual(['storage_unavailable', 'storage_unavailable', 'internal']);
  });

  it('holds up no round that is stopped meanwhile', async () => {
    const pool = await awake();
    const stop = new AbortController();
    const starters = new Starters();
    const signals = { channel: starters.name };
    const round = input('offers', 1, { piece: piece('loops', signals) });
    const stopped = pool.aggregate(round, stop.signal);
    await starters.are(1);
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ code: 'run_over' });
    starters.close();
  });

  it('is ended with its thread where it takes too long, and the round with it', async () => {
    const pool = odd({ size: 2, limitMs: 2000 });
    await expect.poll(() => offered(pool, 'answers')).toBe(true);
    const channel = 'nobody listens';
    await expect(offered(pool, 'loops', { channel })).rejects.toMatchObject({ code: 'internal' });
    await threadOf(pool.aggregate(input('answers')));
  });
});
