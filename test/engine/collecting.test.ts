/** Who is invited, who is waited for and for how long, and when a round has enough. */
import { describe, expect, it } from 'vitest';
import { Gate } from '../support/gate.js';
import { World } from './support/world.js';

/** Everything is short against the run's patience, and long against the clients' work. */
const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateDeadlineMs: 30_000, retries: 2 };
const three = { ada: 'source', Bo: 'source', cyd: 'source' } as const;

describe('a client that goes away', () => {
  it('keeps its assignment for the grace, and loses it then', async () => {
    const spec = { ...times, rounds: 1, evaluateEvery: 0, quorum: { min: 1, share: 0.5 } };
    const world = await World.create({ spec, clients: three });
    for (const name of ['Bo', 'cyd']) world.player(name).manner = () => 'ignore';
    await world.open();
    world.player('Bo').leave();
    world.player('cyd').leave();
    await world.pass(9_999);
    expect(await world.outcomes()).toContain('1.1 train cyd invited -');
    world.player('cyd').manner = () => 'answer';
    await world.player('cyd').connect();
    await world.settle();
    expect((await world.outcomes()).slice(1)).toEqual([
      expect.stringContaining('ada accepted'),
      expect.stringContaining('cyd accepted'),
    ]);
    expect(await world.phases()).toEqual(['1.1 training']);
    await world.pass(1);
    expect(await world.outcomes()).toContain('1.1 train Bo dropped -');
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('has the same grace after a restart, counted from the restart', async () => {
    const spec = { ...times, rounds: 1, evaluateEvery: 0, quorum: { min: 1, share: 0.5 } };
    const world = await World.create({ spec, clients: three });
    for (const name of ['Bo', 'cyd']) world.player(name).manner = () => 'ignore';
    const first = await world.open();
    await world.pass(20_000);
    await first.engine.close();
    first.alive = false;
    for (const player of world.players.values()) player.cut();
    world.player('cyd').manner = () => 'answer';
    await world.pass(5_000);
    await world.boot().engine.start();
    await world.pass(9_000);
    await world.player('cyd').connect();
    await world.settle();
    expect(await world.outcomes()).toContain('1.1 train Bo invited -');
    await world.pass(1_000);
    expect(await world.outcomes()).toContain('1.1 train Bo dropped -');
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('is not dropped any more when it comes back while others are', async () => {
    const spec = { ...times, rounds: 1, evaluateEvery: 0, quorum: { min: 1, share: 0 } };
    const clients = { ...three, dora: 'source', eve: 'source' } as const;
    const world = await World.create({ spec, clients });
    const { engine } = world.boot();
    await engine.start();
    for (const player of world.players.values()) player.manner = () => 'ignore';
    world.gather();
    await world.settle();
    for (const name of ['Bo', 'cyd', 'dora', 'eve']) world.player(name).leave();
    const gate = new Gate();
    world.pause = (name) => (name === 'store.drop' ? gate.pass() : Promise.resolve());
    world.clock.advanceTo(world.clock.now() + times.graceMs);
    await world.moment();
    for (const name of ['cyd', 'dora']) {
      const { client, abilities } = world.player(name);
      world.player(name).present = true;
      engine.joined({ ...client, ...abilities });
    }
    gate.open();
    await world.settle();
    expect((await world.outcomes()).map((line) => line.split(' ').slice(2, 4).join(' '))).toEqual([
      ...['Bo dropped', 'ada invited', 'cyd invited', 'dora invited', 'eve dropped'],
    ]);
  });

  it('has its grace too where it left unnoticed before the invitation', async () => {
    const spec = { ...times, rounds: 1, evaluateEvery: 0, quorum: { min: 1, share: 0.5 } };
    const world = await World.create({ spec, clients: three });
    const life = world.boot();
    await life.engine.start();
    // Far longer than the grace: absence counts from the invitation, not from the start.
    await world.pass(500_000);
    for (const player of world.players.values()) {
      player.manner = () => 'ignore';
      player.present = true;
    }
    const { client, abilities } = world.player('ada');
    life.engine.joined({ ...client, ...abilities });
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 training']);
    // The connection is gone, and nobody tells the engine: it was not there for long enough.
    world.player('Bo').cut();
    life.engine.joined({ ...client, ...abilities });
    await world.pass(9_999);
    expect(await world.outcomes()).toContain('1.1 train Bo invited -');
    await world.pass(1);
    expect(await world.outcomes()).toContain('1.1 train Bo dropped -');
  });

  it('is not waited for once the quorum is out of reach: the round is tried again', async () => {
    const spec = { ...times, rounds: 1, evaluateEvery: 0 };
    const world = await World.create({ spec, clients: three });
    world.player('Bo').manner = () => 'ignore';
    await world.open();
    world.player('Bo').leave();
    await world.pass(10_000);
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 waiting']);
    expect((await world.store.rounds(world.run.id))[0].round.reason).toContain('2 updates of 3');
    expect(await world.leftovers()).toEqual([]);
    world.player('Bo').manner = () => 'answer';
    await world.player('Bo').connect();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 closed']);
    expect(world.player('ada').closed).toHaveLength(0);
    const receipts = world.player('ada').receipts.map(({ round, status }) => [round, status]);
    expect(receipts).toEqual([
      [1, 'accepted'],
      [1, 'accepted'],
    ]);
  });
});

describe('a client that answered nothing when the collection closed', () => {
  const spec = {
    ...times,
    rounds: 1,
    deadlineMs: 12_000,
    quorum: { min: 1, share: 0.5 },
  };

  it('does not keep the evaluation from ending, nor the coordinator busy', async () => {
    const world = await World.create({ spec, clients: three });
    for (const player of world.players.values()) {
      player.manner = ({ kind }) => (kind === 'evaluate' ? 'ignore' : 'answer');
    }
    world.player('cyd').manner = () => 'ignore';
    const life = await world.open();
    await world.pass(5_000);
    world.player('cyd').leave();
    await world.pass(7_000);
    expect(await world.phases()).toEqual(['1.1 evaluating']);
    const before = life.storage.calls.length;
    // Its grace ends in the middle of the evaluation: there is nothing to drop any more.
    await world.pass(29_999);
    expect(life.storage.calls.length - before).toBeLessThan(10);
    await world.pass(1);
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await world.outcomes()).toContain('1.1 train cyd invited -');
  });

  it('is told to stop, and is not given the old work when it comes back', async () => {
    const world = await World.create({ spec, clients: three });
    world.player('ada').manner = ({ kind }) => (kind === 'evaluate' ? 'ignore' : 'answer');
    world.player('cyd').manner = () => 'ignore';
    world.player('cyd').abilities.evaluates = false;
    const life = await world.open();
    await world.pass(12_000);
    const [old] = world.player('cyd').assigned;
    expect(world.player('cyd').closed).toContain(old.id);
    expect(await world.phases()).toEqual(['1.1 evaluating']);
    const { assignments } = await life.engine.welcome(world.player('cyd').client);
    expect(assignments).toEqual([]);
    const receipt = await world.player('cyd').upload(old);
    expect(receipt).toMatchObject({ status: 'late', error: { code: 'late' } });
    await world.play();
    expect(await world.leftovers()).toEqual([]);
  });
});

describe('the choice of a cohort', () => {
  const many = Object.fromEntries(
    Array.from({ length: 8 }, (_, i) => [`c${i}`, 'source' as const]),
  );
  const invited = async (world: World): Promise<number> =>
    (await world.store.assignments(world.run.id, 1, 1)).length;

  it('waits for the whole cohort as long as it may, and takes fewer then', async () => {
    const spec = {
      ...{ ...times, rounds: 1, evaluateEvery: 0 },
      ...{ cohort: { size: 8, waitMs: 5_000 }, quorum: { min: 3 } },
    };
    const world = await World.create({ spec, clients: many });
    const life = world.boot();
    await life.engine.start();
    for (const name of ['c1', 'c4', 'c5', 'c7']) await world.player(name).connect();
    await world.pass(4_999);
    expect(await world.phases()).toEqual(['1.1 waiting']);
    expect(life.engine.now(world.run.id)).toBe('round 1: waiting for clients: 4 of 8');
    await world.pass(1);
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await invited(world)).toBe(4);
  });

  it('goes on waiting where there are too few, and begins when they come', async () => {
    const spec = {
      ...{ ...times, rounds: 1, evaluateEvery: 0 },
      ...{ cohort: { size: 8, waitMs: 5_000 }, quorum: { min: 3 } },
    };
    const world = await World.create({ spec, clients: many });
    await world.boot().engine.start();
    await world.player('c1').connect();
    await world.player('c2').connect();
    await world.pass(3_600_000);
    expect(await world.phases()).toEqual(['1.1 waiting']);
    await world.player('c6').connect();
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('waits anew after a restart: who comes back first is not all there is', async () => {
    const spec = {
      ...{ ...times, rounds: 1, evaluateEvery: 0 },
      ...{ cohort: { size: 'all' as const, waitMs: 5_000 }, quorum: { min: 1, share: 1 } },
    };
    const world = await World.create({ spec, clients: many });
    const first = world.boot();
    await first.engine.start();
    await world.pass(3_600_000);
    await first.engine.close();
    first.alive = false;
    await world.boot().engine.start();
    for (const name of world.players.keys()) await world.player(name).connect();
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await invited(world)).toBe(8);
  });

  it('invites no more than the caps allow, and no client that only evaluates', async () => {
    const spec = {
      ...{ ...times, rounds: 1, evaluateEvery: 0, caps: { cohortMax: 5 } },
      ...{ cohort: { size: 'all' as const }, quorum: { min: 5 } },
    };
    const world = await World.create({ spec, clients: { ...many, judge: 'evaluator' } });
    const life = world.boot();
    await life.engine.start();
    for (const player of world.players.values()) player.present = true;
    world.player('c3').abilities.trains = false;
    const { client, abilities } = world.player('c0');
    life.engine.joined({ ...client, ...abilities });
    await world.play();
    const records = await world.store.assignments(world.run.id, 1, 1);
    expect(records).toHaveLength(5);
    expect(records.map(({ clientId }) => clientId)).not.toContain('judge');
    expect(records.map(({ clientId }) => clientId)).not.toContain('c3');
  });

  it('takes more than it needs, and goes on with those who answer', async () => {
    const spec = {
      ...{ ...times, rounds: 2, evaluateEvery: 0 },
      ...{ cohort: { size: 8 }, quorum: { min: 3, share: 0.6 } },
    };
    const world = await World.create({ spec, clients: many });
    for (const name of ['c0', 'c3', 'c6']) world.player(name).manner = () => 'ignore';
    await world.open();
    const start = world.clock.now();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    expect(world.clock.now() - start).toBe(2 * times.deadlineMs);
  });
});

describe('a required role', () => {
  const domains = { ada: 'source', Bo: 'source', tess: 'target' } as const;
  const spec = {
    ...{ ...times, rounds: 1, evaluateEvery: 0, rule: { name: 'fedda' } },
    ...{ cohort: { size: 'all' as const }, quorum: { min: 2, share: 0 } },
  };

  it('follows from the rule, and its client is waited for', async () => {
    const world = await World.create({ spec, clients: domains });
    expect(world.run.spec.quorum.required).toEqual(['target']);
    const life = world.boot();
    await life.engine.start();
    await world.player('ada').connect();
    await world.player('Bo').connect();
    await world.pass(3_600_000);
    expect(await world.phases()).toEqual(['1.1 waiting']);
    expect(life.engine.now(world.run.id)).toContain('target');
    await world.player('tess').connect();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('is not made up for by others: the round ends with that reason', async () => {
    const world = await World.create({ spec, clients: domains });
    world.player('tess').manner = () => 'ignore';
    const life = world.boot();
    await life.engine.start();
    for (const name of ['tess', 'ada', 'Bo']) world.player(name).present = true;
    const { client, abilities } = world.player('Bo');
    life.engine.joined({ ...client, ...abilities });
    await world.settle();
    world.player('tess').leave();
    await world.pass(times.graceMs);
    const [{ round }] = await world.store.rounds(world.run.id);
    expect(round).toMatchObject({ phase: 'abandoned' });
    expect(round.reason).toContain('required target');
    world.player('tess').manner = () => 'answer';
    await world.player('tess').connect();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 closed']);
  });

  it('has one client only where the rule works with one, even if two are enrolled at once', async () => {
    const world = await World.create({ spec, clients: { ada: 'source' } });
    const { engine } = world.boot();
    const enrolling = ['tess', 'tim'].map((name) => engine.enrol(world.run.id, name, 'target'));
    const [first, second] = await Promise.allSettled(enrolling);
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'conflict' } });
    await expect(engine.enrol(world.run.id, 'Tom', 'target')).rejects.toThrow('"tess" is it');
    await expect(engine.enrol(world.run.id, 'cyd', 'source')).resolves.toBeDefined();
  });
});

describe('a thousand receipts', () => {
  it('do not make the coordinator read a thousand assignments each', async () => {
    const clients = Object.fromEntries(
      Array.from({ length: 120 }, (_, i) => [`c${i}`, 'source' as const]),
    );
    const world = await World.create({ spec: { ...times, rounds: 1, evaluateEvery: 0 }, clients });
    const life = world.boot();
    await life.engine.start();
    for (const player of world.players.values()) {
      player.manner = () => 'ignore';
      player.present = true;
    }
    life.engine.joined({ ...world.player('c0').client, ...world.player('c0').abilities });
    await world.settle();
    for (const player of world.players.values()) {
      await player.upload(player.assigned[0]);
      await world.settle();
    }
    expect(await world.phases()).toEqual(['1.1 closed']);
    const reads = life.storage.calls.filter((call) => call === 'store.assignments');
    expect(reads.length).toBeLessThan(10);
  });
});
