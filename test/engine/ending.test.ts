/** Ways in which runs and engines end: stopped by an operator, failed, closed while working. */
import { describe, expect, it } from 'vitest';
import { Gate } from '../support/gate.js';
import { World } from './support/world.js';

const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateDeadlineMs: 30_000 };
const clients = { ada: 'source', Bo: 'source' } as const;

/** A world in which the run stands in a phase, waiting. */
async function standingIn(phase: 'waiting' | 'training' | 'evaluating'): Promise<World> {
  const world = await World.create({ spec: { ...times, rounds: 3 }, clients });
  const awaited = phase === 'evaluating' ? 'evaluate' : 'train';
  world.player('Bo').manner = ({ kind }) => (kind === awaited ? 'ignore' : 'answer');
  const life = world.boot();
  await life.engine.start();
  if (phase !== 'waiting') for (const player of world.players.values()) await player.connect();
  await world.settle();
  expect(await world.phases()).toEqual([`1.1 ${phase}`]);
  return world;
}

describe('stopping a run', () => {
  it.each([
    ['waiting', 'abandoned'],
    ['training', 'abandoned'],
    ['evaluating', 'closed'],
  ] as const)('while it is %s ends it at once, and tells everybody', async (phase, last) => {
    const world = await standingIn(phase);
    const [{ engine }] = world.lives;
    const run = await engine.stopRun(world.run.id, 'that is enough');
    expect(run).toMatchObject({ status: 'stopped', reason: 'that is enough' });
    await world.settle();
    expect(await world.phases()).toEqual([`1.1 ${last}`]);
    expect(engine.now(world.run.id)).toBe('stopped');
    expect(world.clock.pending).toBe(0);
    expect(await world.leftovers()).toEqual([]);
    expect((await world.ledger()).at(-1)).toBe('run-stopped');
    if (phase === 'waiting') return;
    for (const { heard } of world.players.values()) {
      expect(heard.at(-1)).toMatchObject({ status: 'stopped', reason: 'that is enough' });
    }
    const [open] = world.player('Bo').assigned.slice(-1);
    expect(world.player('Bo').closed).toContain(open.id);
  });

  it('while it aggregates wins over the aggregation', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    const gate = new Gate();
    // The first look is at the model, before anybody is invited to train from it.
    let looks = 0;
    world.pause = (name) =>
      name === 'blobs.open' && ++looks > 1 ? gate.pass() : Promise.resolve();
    const life = world.boot();
    await life.engine.start();
    world.gather();
    await world.moment();
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    await life.engine.stopRun(world.run.id, 'stop');
    gate.open();
    await world.pass(120_000);
    expect(await world.store.run(world.run.id)).toMatchObject({ status: 'stopped' });
    expect(await world.phases()).toEqual(['1.1 abandoned']);
    expect(await world.checkpoints()).toHaveLength(1);
    expect(await world.leftovers()).toEqual([]);
  });

  it('is refused where it is over', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    const { engine } = await world.open();
    await world.play();
    await expect(engine.stopRun(world.run.id, 'why')).rejects.toMatchObject({ code: 'run_over' });
    await expect(engine.stopRun('other', 'why')).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('is refused as over too where it ends that very moment', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1, evaluateEvery: 0 }, clients });
    world.player('Bo').manner = () => 'ignore';
    await world.open();
    // Another process reads the run, which goes on, and then the round, which is over by then.
    const gate = new Gate();
    world.pause = (name, life) =>
      life === 1 && name === 'store.currentRound' ? gate.pass() : Promise.resolve();
    const stopping = world.boot().engine.stopRun(world.run.id, 'why');
    const outcome = expect(stopping).rejects.toMatchObject({ code: 'run_over' });
    await world.moment();
    await world.player('Bo').answer(world.player('Bo').assigned[0]);
    await world.moment();
    expect(await world.isOver()).toBe(true);
    gate.open();
    await outcome;
  });

  it('leaves updates that cannot be deleted to the next start, and is done all the same', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    world.player('Bo').manner = () => 'ignore';
    const life = await world.open((_, name) =>
      name === 'blobs.delete' ? { how: 'fail', when: 'before' } : null,
    );
    const run = await life.engine.stopRun(world.run.id, 'enough');
    expect(run.status).toBe('stopped');
    expect(await world.leftovers()).toHaveLength(1);
    await world.boot().engine.start();
    await world.settle();
    expect(await world.leftovers()).toEqual([]);
  });
});

describe('a run without enough updates', () => {
  it('is tried again with back-off, and fails with the reason', async () => {
    const spec = { ...times, rounds: 2, retries: 3, evaluateEvery: 0 };
    const world = await World.create({ spec, clients });
    world.player('Bo').manner = () => 'ignore';
    await world.open();
    const start = world.clock.now();
    await world.play();
    expect(await world.phases()).toEqual([1, 2, 3, 4].map((attempt) => `1.${attempt} abandoned`));
    expect(world.clock.now() - start).toBe(4 * times.deadlineMs + 1_000 + 2_000 + 4_000);
    const run = await world.store.run(world.run.id);
    expect(run?.status).toBe('failed');
    expect(run?.reason).toContain('1 update of 2 invited, 2 needed');
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'failed' });
    expect(await world.leftovers()).toEqual([]);
  });
});

describe('updates', () => {
  it('are kept where the run says so', async () => {
    const spec = { ...times, rounds: 2, keepUpdates: true };
    const world = await World.create({ spec, clients });
    await world.open();
    await world.play();
    expect(await world.leftovers()).toHaveLength(4);
    await world.boot().engine.start();
    expect(await world.leftovers()).toHaveLength(4);
  });

  it('of a run that ended in a crash are deleted by the next start, once', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1, evaluateEvery: 0 }, clients });
    await world.open((_, name) =>
      name === 'blobs.delete' ? { how: 'die', when: 'before' } : null,
    );
    await world.settle();
    expect(await world.isOver()).toBe(true);
    expect(await world.leftovers()).toHaveLength(2);
    await world.boot().engine.start();
    await world.settle();
    expect(await world.leftovers()).toEqual([]);
    const third = world.boot();
    await third.engine.start();
    await world.settle();
    expect(third.storage.calls).not.toContain('blobs.delete');
  });
});

describe('runs that are over', () => {
  it('cost nothing more, however often the coordinator looks at all runs', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    const { engine, storage } = await world.open();
    await world.play();
    const before = storage.calls.length;
    await engine.look();
    await world.settle();
    expect(storage.calls.length).toBe(before);
    expect(engine.now(world.run.id)).toBe('completed');
  });

  it('do not hold up those that go on, when a coordinator starts', async () => {
    const world = await standingIn('waiting');
    const [first] = world.lives;
    await world.pass(5);
    const over = await first.engine.createRun({ ...world.run.spec, name: 'other' });
    await first.engine.stopRun(over.id, 'enough');
    await first.engine.close();
    first.alive = false;
    const currentRound = world.store.currentRound.bind(world.store);
    world.store.currentRound = (id) =>
      id === over.id ? new Promise(() => undefined) : currentRound(id);
    for (const player of world.players.values()) player.present = true;
    await world.boot().engine.start();
    await world.moment();
    expect((await world.phases()).at(0)).not.toBe('1.1 waiting');
  });
});

describe('closing an engine', () => {
  it.each(['waiting', 'training', 'evaluating'] as const)(
    'while a round is %s leaves nothing that would wake it',
    async (phase) => {
      const world = await standingIn(phase);
      const [{ engine, storage }] = world.lives;
      expect(world.clock.pending).toBe(1);
      await engine.close();
      expect(world.clock.pending).toBe(0);
      const before = storage.calls.length;
      await world.pass(3_600_000);
      expect(storage.calls.length).toBe(before);
    },
  );

  it('waits for the look that is under way, which sets no timer any more', async () => {
    const world = await standingIn('training');
    const [{ engine, storage }] = world.lives;
    const gate = new Gate();
    world.pause = (name) => (name === 'store.currentRound' ? gate.pass() : Promise.resolve());
    const { client, abilities } = world.player('ada');
    engine.joined({ ...client, ...abilities });
    await world.moment();
    const closing = engine.close();
    await world.moment();
    expect(storage.underWay()).toBe(1);
    gate.open();
    await closing;
    expect(storage.underWay()).toBe(0);
    expect(world.clock.pending).toBe(0);
  });

  it('in the middle of a run leaves the rest to the next one', async () => {
    const world = await World.create({ spec: { ...times, rounds: 3 }, clients });
    world.pause = () => new Promise((resolve) => setImmediate(resolve));
    const life = world.boot();
    await life.engine.start();
    world.gather();
    await world.moment();
    await life.engine.close();
    life.alive = false;
    expect(await world.isOver()).toBe(false);
    world.pause = () => Promise.resolve();
    for (const player of world.players.values()) player.cut();
    await world.open();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed', '3.1 closed']);
  });

  it('makes it deaf: what comes later is answered, and moves no run', async () => {
    const world = await standingIn('training');
    const [{ engine, storage }] = world.lives;
    await engine.close();
    const bo = world.player('Bo');
    const [open] = bo.assigned;
    const receipt = await bo.upload(open);
    expect(receipt.status).toBe('accepted');
    engine.left(bo.client);
    engine.joined({ ...bo.client, ...bo.abilities });
    await engine.decline(bo.client, open.id, 'why');
    const created = await engine.createRun({ ...world.run.spec, name: 'other' });
    const before = storage.calls.length;
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 training']);
    expect(storage.calls.length).toBe(before);
    expect(engine.now(created.id)).toBe('not running');
    expect(world.clock.pending).toBe(0);
  });
});
