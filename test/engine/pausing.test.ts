/** Operators pause and resume a run; the round under way ends as ever. */
import { describe, expect, it } from 'vitest';
import { Gate } from '../support/gate.js';
import { World } from './support/world.js';

const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateDeadlineMs: 30_000, retries: 1 };
const clients = { ada: 'source', Bo: 'source' } as const;

/** A run in whose first round Bo keeps the others waiting. */
async function training(more: object = {}): Promise<World> {
  const world = await World.create({ spec: { ...times, rounds: 2, ...more }, clients });
  world.player('Bo').manner = () => 'ignore';
  await world.open();
  await world.settle();
  expect(await world.phases()).toEqual(['1.1 training']);
  return world;
}

async function answer(world: World): Promise<void> {
  const bo = world.player('Bo');
  bo.manner = () => 'answer';
  await bo.answer(bo.assigned.at(-1)!);
  await world.settle();
}

describe('a paused run', () => {
  it('ends the round under way, begins no other, and goes on when it is resumed', async () => {
    const world = await training();
    const [{ engine }] = world.lives;
    const paused = await engine.pauseRun(world.run.id, 'a holiday');
    expect(paused).toMatchObject({ status: 'paused', reason: 'a holiday' });
    await world.settle();
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'paused' });
    await answer(world);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 waiting']);
    expect(engine.now(world.run.id)).toBe('round 2: paused');
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'paused', version: 1 });
    await world.pass(3_600_000);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 waiting']);

    const resumed = await engine.resumeRun(world.run.id, 'back again');
    expect(resumed).toMatchObject({ status: 'running', reason: null });
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    const events = await world.store.events(world.run.id);
    const told = events.filter(({ type }) => /^run-(paused|resumed)$/.test(type));
    expect(told).toMatchObject([
      { type: 'run-paused', body: { reason: 'a holiday' } },
      { type: 'run-resumed', body: { reason: 'back again' } },
    ]);
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'completed' });
  });

  it('stays paused over a restart, and its open work is still there', async () => {
    const world = await training();
    await world.lives[0].engine.pauseRun(world.run.id, 'a holiday');
    await world.lives[0].engine.close();
    world.lives[0].alive = false;
    for (const player of world.players.values()) player.cut();
    const { engine } = await world.open();
    await world.settle();
    await world.pass(1_000_000);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 waiting']);
    expect(engine.now(world.run.id)).toBe('round 2: paused');
    await engine.resumeRun(world.run.id, 'back');
    world.player('Bo').manner = () => 'answer';
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
  });

  it('begins no other attempt at a round that missed its quorum', async () => {
    const world = await training();
    const [{ engine }] = world.lives;
    await engine.pauseRun(world.run.id, 'wait');
    world.player('Bo').leave();
    await world.pass(times.graceMs);
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 waiting']);
    await world.player('Bo').connect();
    await world.pass(60_000);
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 waiting']);
    expect(engine.now(world.run.id)).toBe('round 1: paused');
  });

  it('is completed, or has failed, where the round under way was the last', async () => {
    const last = await training({ rounds: 1 });
    await last.lives[0].engine.pauseRun(last.run.id, 'wait');
    await answer(last);
    expect(await last.store.run(last.run.id)).toMatchObject({ status: 'completed', reason: null });

    const lost = await training({ retries: 0 });
    await lost.lives[0].engine.pauseRun(lost.run.id, 'wait');
    lost.player('Bo').leave();
    await lost.pass(times.graceMs);
    expect(await lost.store.run(lost.run.id)).toMatchObject({ status: 'failed' });
    const resuming = lost.lives[0].engine.resumeRun(lost.run.id, 'on');
    await expect(resuming).rejects.toMatchObject({ code: 'run_over' });
  });

  it('can be stopped', async () => {
    const world = await training();
    const [{ engine }] = world.lives;
    await engine.pauseRun(world.run.id, 'wait');
    expect(await engine.stopRun(world.run.id, 'enough')).toMatchObject({ status: 'stopped' });
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 abandoned']);
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'stopped' });
  });

  it('enrols and welcomes clients like any other', async () => {
    const world = await training();
    const [{ engine }] = world.lives;
    await engine.pauseRun(world.run.id, 'wait');
    await expect(engine.enrol(world.run.id, 'cyd', 'source')).resolves.toBeDefined();
    const { client, assigned } = world.player('Bo');
    const { status, assignments } = await engine.welcome(client);
    expect(status).toBe('paused');
    expect(assignments.map(({ id }) => id)).toEqual([assigned[0].id]);
  });
});

describe('pausing', () => {
  it('is refused where it changes nothing', async () => {
    const world = await training();
    const [{ engine }] = world.lives;
    const { id } = world.run;
    await expect(engine.resumeRun(id, 'why')).rejects.toMatchObject({ code: 'conflict' });
    await engine.pauseRun(id, 'wait');
    await expect(engine.pauseRun(id, 'wait')).rejects.toMatchObject({ code: 'conflict' });
    await expect(engine.pauseRun('other', '')).rejects.toMatchObject({ code: 'run_not_found' });
    await engine.stopRun(id, 'enough');
    await expect(engine.pauseRun(id, 'wait')).rejects.toMatchObject({ code: 'run_over' });
  });

  it('wins over a round that is about to begin: nothing begins after it', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    const { engine } = world.boot();
    await engine.start();
    const gate = new Gate();
    world.pause = (name) => (name === 'store.commit' ? gate.pass() : Promise.resolve());
    world.gather();
    await world.moment();
    expect(engine.now(world.run.id)).toBe('round 1: begin');
    await engine.pauseRun(world.run.id, 'wait');
    gate.open();
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 waiting']);
    expect(world.player('ada').assigned).toEqual([]);
    expect((await world.ledger()).at(-1)).toBe('run-paused');
    await engine.resumeRun(world.run.id, 'on');
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('reaches clients of another coordinator on the same storage', async () => {
    const world = await training();
    const other = world.boot();
    await other.engine.pauseRun(world.run.id, 'wait');
    await world.lives[0].engine.look(world.run.id);
    await world.settle();
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'paused' });
    await answer(world);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 waiting']);
  });
});
