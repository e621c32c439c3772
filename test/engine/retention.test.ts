/** What is deleted when: a run does not grow, and nothing goes that somebody needs. */
import { describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { BlobStore } from '../../server/core/ports.js';
import type { Run } from '../../server/core/records.js';
import { openRound } from '../../server/core/round.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { createEngine } from '../../server/engine/create-engine.js';
import type { EngineParts } from '../../server/engine/engine.js';
import { Retention } from '../../server/engine/retention.js';
import { checkpointOf, eventOf, runNamed, startedAt } from '../contract/records.js';
import { Gate } from '../support/gate.js';
import { VirtualClock } from '../support/virtual-clock.js';
import { ODD_RULE, nothing, register } from './support/odd-rule.js';
import { World } from './support/world.js';

const nobody: Pick<EngineParts, 'transport' | 'oracles'> = {
  transport: {
    present: () => [],
    assign: () => undefined,
    closed: () => undefined,
    weighed: () => undefined,
    announce: () => undefined,
  },
  oracles: { describe: () => 'none', open: () => Promise.reject(new Error('there is none')) },
};

const DAY_MS = 24 * 3_600_000;
const clients = { ada: 'source', Bo: 'source' } as const;

async function held(blobs: BlobStore): Promise<string[]> {
  const hashes: string[] = [];
  for await (const { sha256 } of blobs.list()) hashes.push(sha256);
  return hashes.sort();
}

/** A run played to its end; the most blobs that there were at any commit, and those at the end. */
async function playThrough(spec: Partial<RunSpecInput>) {
  const world = await World.create({ spec: { evaluateEvery: 0, ...spec }, clients });
  let most = 0;
  // Time goes by between a model and the next one, as it does in life.
  world.pause = async (name) => {
    if (name !== 'store.commit') return;
    world.clock.advanceTo(world.clock.now() + 5);
    most = Math.max(most, (await held(world.blobs)).length);
  };
  await world.open();
  await world.play();
  await world.lives[0].engine.close();
  return { world, most, left: await held(world.blobs) };
}

describe('a long run', () => {
  const optimizer = { name: 'adam' };

  it('holds as many blobs after sixty rounds as after ten', async () => {
    const short = await playThrough({ rounds: 10, keepCheckpoints: 3, optimizer });
    const long = await playThrough({ rounds: 60, keepCheckpoints: 3, optimizer });
    expect(await long.world.checkpoints()).toHaveLength(61);
    expect(long.most).toBe(short.most);
    // What was uploaded, the first model, three more, and the newest state.
    expect(long.left).toHaveLength(short.left.length);
    expect(long.left.length).toBeLessThanOrEqual(6);
    for (const version of [0, 58, 59, 60]) {
      const { sha256, collected } = (await long.world.store.checkpoint(
        long.world.run.id,
        version,
      ))!;
      expect(long.left).toContain(sha256);
      expect(collected).toBe(false);
    }
  });

  it('does not grow by what its rule sends down either', async () => {
    const unregister = register({
      finish: (acc, { model, round }) => {
        const tensors = { rounds: new Float64Array(model.length).fill(round) };
        const outcome = nothing(acc, model.length);
        return Promise.resolve({ ...outcome, state: { tensors, values: {} } });
      },
      broadcast: ({ tensors }) => tensors,
    });
    const sending = { keepCheckpoints: 2, rule: { name: ODD_RULE } };
    const short = await playThrough({ rounds: 6, ...sending });
    const long = await playThrough({ rounds: 25, ...sending });
    unregister();
    expect(long.most).toBe(short.most);
    // What was uploaded, the first model and two more; state and vectors of the newest.
    expect(long.left.length).toBeLessThanOrEqual(6);
  });

  it('that keeps all its models keeps them, and only the newest state', async () => {
    const { world, left } = await playThrough({ rounds: 12, keepCheckpoints: 'all', optimizer });
    const models = (await world.checkpoints()).map((line) => line.split(' ')[0]);
    expect(left).toEqual(expect.arrayContaining(models));
    expect(left.length).toBeLessThanOrEqual(models.length + 2);
  });

  it('that keeps its updates keeps all that a replay needs', async () => {
    const spec = { rounds: 8, keepUpdates: true, keepCheckpoints: 1, optimizer };
    const { world, left } = await playThrough(spec);
    const lines = (await world.checkpoints()).flatMap((line) => line.split(' '));
    const updates = [...world.players.values()].flatMap(({ receipts }) => receipts);
    const all = [...lines.filter((hash) => hash !== 'null'), ...updates.map((r) => r.sha256)];
    expect(left).toEqual(expect.arrayContaining(all));
  });

  it('leaves the same models as one that keeps everything', async () => {
    const few = await playThrough({ rounds: 9, keepCheckpoints: 1, optimizer });
    const all = await playThrough({
      rounds: 9,
      keepCheckpoints: 'all',
      keepUpdates: true,
      optimizer,
    });
    expect(await few.world.checkpoints()).toEqual(await all.world.checkpoints());
  });
});

describe('a sweep', () => {
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

  function scene() {
    const clock = new VirtualClock(startedAt);
    const blobs = createMemoryBlobStore(() => clock.now());
    const store = createMemoryStore();
    const parts = { store, blobs, clock, log: quiet };
    const put = async (text: string): Promise<string> =>
      (await putBlob(blobs, new TextEncoder().encode(text))).sha256;
    return { clock, blobs, store, parts, put, retention: new Retention(parts) };
  }

  /** A run whose first checkpoint has this model, state and init. */
  async function runWith(
    { store }: ReturnType<typeof scene>,
    id: string,
    names: { model: string; state?: string; init?: string },
  ): Promise<Run> {
    const run = runNamed(id);
    const spec = { ...run.spec, init: { blob: names.init ?? names.model } };
    const checkpoint = {
      ...checkpointOf(id, 0),
      ...{ sha256: names.model, stateSha256: names.state ?? null },
    };
    const round = openRound(id, 1, 1, 0, startedAt);
    await store.createRun({ ...run, spec }, checkpoint, round, [eventOf('run-created')]);
    return { ...run, spec };
  }

  it('deletes what nothing needs and is older than a day, and no other thing', async () => {
    const here = scene();
    const [model, init, orphan] = [
      await here.put('model'),
      await here.put('init'),
      await here.put('left by a crash'),
    ];
    await runWith(here, 'r1', { model, init });
    here.clock.advanceTo(startedAt + DAY_MS / 2);
    const upload = await here.put('for a run of tomorrow');
    here.clock.advanceTo(startedAt + DAY_MS);
    await here.retention.sweep();
    expect(await held(here.blobs)).toEqual([model, init, orphan, upload].sort());
    here.clock.advanceTo(startedAt + DAY_MS + 1);
    await here.retention.sweep();
    expect(await held(here.blobs)).toEqual([model, init, upload].sort());
    here.clock.advanceTo(startedAt + 2 * DAY_MS);
    await here.retention.sweep();
    expect(await held(here.blobs)).toEqual([model, init].sort());
  });

  it('spares what is stored once more after it had asked', async () => {
    const here = scene();
    const again = await here.put('the same model');
    here.clock.advanceTo(startedAt + 3 * DAY_MS);
    const needed = here.store.needed.bind(here.store);
    here.store.needed = async (hashes) => {
      const answer = await needed(hashes);
      await here.put('the same model');
      return answer;
    };
    await here.retention.sweep();
    expect(await held(here.blobs)).toEqual([again]);
  });

  it('is no different where two coordinators make it at once', async () => {
    const here = scene();
    const model = await here.put('model');
    await runWith(here, 'r1', { model });
    for (let i = 0; i < 1200; i++) await here.put(`orphan ${i}`);
    here.clock.advanceTo(startedAt + 2 * DAY_MS);
    const other = new Retention(here.parts);
    await Promise.all([here.retention.sweep(), other.sweep()]);
    expect(await held(here.blobs)).toEqual([model]);
  });

  it('comes soon after the start and again and again, and not after the stop', async () => {
    const here = scene();
    const retention = new Retention(here.parts, { sweepEveryMs: 600_000, orphanMs: 1 });
    const turn = async (ms: number, orphan: string): Promise<number> => {
      await here.put(orphan);
      here.clock.advanceTo(here.clock.now() + ms);
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
      return (await held(here.blobs)).length;
    };
    retention.start();
    retention.start();
    expect(here.clock.pending).toBe(1);
    expect(await turn(10_000, 'a')).toBe(0);
    expect(await turn(599_000, 'b')).toBe(1);
    expect(await turn(1_000, 'c')).toBe(0);
    await retention.stop();
    expect(here.clock.pending).toBe(0);
    expect(await turn(10_000_000, 'd')).toBe(1);
    retention.start();
    expect(await turn(10_000, 'e')).toBe(0);
  });

  it('never comes where the coordinator was closed before it came to lead', async () => {
    const { parts, clock } = scene();
    const { transport, oracles } = nobody;
    const engine = createEngine({ ...parts, transport, oracles, sweepEveryMs: 1000 });
    await engine.close();
    await engine.start();
    expect(clock.pending).toBe(0);
  });

  it('that fails is told, and made again', async () => {
    const here = scene();
    const told: string[] = [];
    const log = { ...quiet, warn: (_: object, message: string) => void told.push(message) };
    const retention = new Retention({ ...here.parts, log }, { sweepEveryMs: 1000 });
    const runs = here.store.runs.bind(here.store);
    here.store.runs = () => Promise.reject(new Error('away'));
    retention.start();
    here.clock.advanceTo(startedAt + 1000);
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual(['the sweep ended early']);
    here.store.runs = runs;
    expect(here.clock.pending).toBe(1);
  });

  describe('after a commit', () => {
    it('waits for who may be storing the same state, and then leaves it', async () => {
      const here = scene();
      const [model, state] = [await here.put('model'), await here.put('state')];
      const run = await runWith(here, 'r1', { model });
      here.clock.advanceTo(startedAt + 10);
      const gate = new Gate();
      const other = here.retention.whileStoring(async () => {
        await gate.pass();
        await runWith(here, 'r2', { model, state });
      });
      here.retention.superseded(run, { ...checkpointOf('r1', 0), stateSha256: state });
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
      expect(await held(here.blobs)).toContain(state);
      gate.open();
      await other;
      await here.retention.stop();
      expect(await held(here.blobs)).toContain(state);
    });

    it('deletes the state before at once, and nothing that was stored meanwhile', async () => {
      const here = scene();
      const [model, state] = [await here.put('model'), await here.put('state')];
      const run = await runWith(here, 'r1', { model });
      here.clock.advanceTo(startedAt + 10);
      here.retention.superseded(run, { ...checkpointOf('r1', 0), stateSha256: state });
      await here.retention.stop();
      expect(await held(here.blobs)).toEqual([model]);
    });
  });
});
