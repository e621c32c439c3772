/** Threads that aggregate: what becomes of a round when one dies, hangs, or is not there. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BroadcastChannel, MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { Line } from '../../server/adapters/aggregation/line.js';
import { ThreadPool } from '../../server/adapters/aggregation/pool.js';
import { AggregationThread } from '../../server/adapters/aggregation/thread.js';
import type { WorkerAggregatorOptions } from '../../server/adapters/aggregation/worker-aggregator.js';
import { workerAggregator } from '../../server/adapters/aggregation/worker-aggregator.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import type { OracleProvider } from '../../server/core/ports.js';
import type { AggregationInput } from '../../server/engine/aggregation.js';
import type { Aggregator } from '../../server/engine/aggregator.js';
import type { NamedBlob, Piece } from '../../server/engine/pieces.js';

const noOracles: OracleProvider = {
  describe: () => 'none',
  open: () => Promise.reject(new Error('there is none')),
};

const opened: Aggregator[] = [];
afterEach(async () => {
  for (const aggregator of opened.splice(0)) await aggregator.close();
});

/** Of workers that do what the run is called. */
function odd(options: Partial<WorkerAggregatorOptions> = {}): Aggregator {
  const aggregator = workerAggregator({
    blobs: { kind: 'directory', folder: '/nowhere' },
    oracles: noOracles,
    size: 1,
    limitMs: 60_000,
    entry: new URL('./support/odd-worker.mjs', import.meta.url),
    ...options,
  });
  opened.push(aggregator);
  return aggregator;
}

interface Signals {
  /** Where workers say that they have begun. */
  readonly channel?: string;
  /** Not 0 where they may go on. */
  readonly gate?: Int32Array;
  /** How the names of this process's spooled files begin, with their folder. */
  readonly spooled?: string;
  /** What a worker offers to others. */
  readonly piece?: Piece;
}

function input(deed: string, number = 1, signals: Signals = {}): AggregationInput {
  const round = { number, attempt: 1 };
  return { run: { id: deed }, round, ...signals } as unknown as AggregationInput;
}

/** The workers that have begun. */
class Starters {
  readonly name = `begun ${randomUUID()}`;
  readonly threads: unknown[] = [];
  readonly #channel = new BroadcastChannel(this.name);
  #look: () => void = () => undefined;

  constructor() {
    this.#channel.onmessage = (message: unknown) => {
      this.threads.push((message as { data: unknown }).data);
      this.#look();
    };
  }

  /** Resolves when so many have begun. */
  async are(count: number): Promise<void> {
    while (this.threads.length < count) {
      await new Promise<void>((resolve) => (this.#look = resolve));
    }
  }

  close(): void {
    this.#channel.close();
  }
}

async function* arriving(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Uint8Array.of(1, 2, 3));
}

async function threadOf(answer: Promise<unknown>): Promise<number> {
  return ((await answer) as { threadId: number }).threadId;
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
    const entry = new URL('./support/odd-worker.mjs', import.meta.url);
    const settings = { blobs: { kind: 'directory', folder: '/nowhere' }, size: 2 } as const;
    const offer = (): Promise<boolean> => Promise.resolve(false);
    let started = 0;
    const start = (): AggregationThread => {
      if (started++ > 0) throw new Error('no more threads');
      return new AggregationThread(entry, settings, { oracles: noOracles, offer });
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

  it('is ended with its thread where it takes too long, and the round with it', async () => {
    const pool = odd({ size: 2, limitMs: 2000 });
    await expect.poll(() => offered(pool, 'answers')).toBe(true);
    const channel = 'nobody listens';
    await expect(offered(pool, 'loops', { channel })).rejects.toMatchObject({ code: 'internal' });
    await threadOf(pool.aggregate(input('answers')));
  });
});

describe('a line between threads', () => {
  interface Echo {
    echo(value: unknown): Promise<unknown>;
    fail(error: unknown): Promise<never>;
  }

  function ends(): { line: Line<Echo, object>; close: () => void } {
    const { port1, port2 } = new MessageChannel();
    const services: Echo = {
      echo: (value) => Promise.resolve(value),
      fail: (kind) => {
        if (kind === 'ours') throw new TributaryError('over_cap', 'too large', { cap: 8 });
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- as a bad rule may
        throw kind === 'text' ? 'a text' : new RangeError('out of range');
      },
    };
    new Line<object, Echo>(port2, services);
    return { line: new Line<Echo, object>(port1, {}), close: () => port1.close() };
  }

  it('answers each question with its own answer', async () => {
    const { line, close } = ends();
    const answers = [1, 'two', { three: [3] }].map((value) => line.ask('echo', value));
    expect(await Promise.all(answers)).toEqual([1, 'two', { three: [3] }]);
    close();
  });

  it('moves vectors, and gives them back whole', async () => {
    const { line, close } = ends();
    const params = Float32Array.of(1.5, -0, NaN);
    const answer = line.ask('echo', { params, batch: 2 });
    expect(params).toHaveLength(0);
    expect(await answer).toEqual({ params: Float32Array.of(1.5, -0, NaN), batch: 2 });
    close();
  });

  it('passes errors on with what they say', async () => {
    const { line, close } = ends();
    const ours = await line.ask('fail', 'ours').catch((error: unknown) => error);
    expect(ours).toBeInstanceOf(TributaryError);
    expect(ours).toMatchObject({ code: 'over_cap', message: 'too large', details: { cap: 8 } });
    await expect(line.ask('fail', 'range')).rejects.toThrow('out of range');
    await expect(line.ask('fail', 'text')).rejects.toThrow('a text');
    close();
  });

  it('says so where an argument or an answer is no plain data', async () => {
    const { line, close } = ends();
    await expect(line.ask('echo', () => 1)).rejects.toThrow('could not be cloned');
    expect(await line.ask('echo', 'still there')).toBe('still there');
    close();
  });

  it('fails what is asked over a line that is broken', async () => {
    const { line, close } = ends();
    const asked = expect(line.ask('echo', 1)).rejects.toThrow('gone');
    line.break(new Error('gone'));
    await asked;
    await expect(line.ask('echo', 2)).rejects.toThrow('gone');
    close();
  });
});
