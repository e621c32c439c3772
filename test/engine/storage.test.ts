/** The storage goes away for a while: the run goes on by itself, and does not hammer it meanwhile. */
import { describe, expect, it } from 'vitest';
import { randomStream } from '../../server/core/random.js';
import type { Plan } from './support/faults.js';
import { World } from './support/world.js';

const clients = { ada: 'source', Bo: 'source' } as const;

/** Every call fails between two moments. */
function outage(world: () => World, from: number, until: number): Plan {
  return () => {
    const now = world().clock.now();
    return now >= from && now < until ? { how: 'fail', when: 'before' } : null;
  };
}

describe('while the storage is away', () => {
  it('a run backs off, asks seldom, and goes on when it is back', async () => {
    const world = await World.create({ spec: { rounds: 2, deadlineMs: 7_200_000 }, clients });
    const start = world.clock.now();
    const away = 30 * 60_000;
    const plan = outage(() => world, start + 1, start + 1 + away);
    for (const player of world.players.values()) player.manner = () => 'ignore';
    const life = await world.open(plan);
    world.clock.advanceTo(start + 1);
    // Something happens in the middle of it, which nobody can look at.
    world.player('ada').leave();
    await world.settle();
    world.player('ada').present = true;
    life.engine.joined({ ...world.player('ada').client, ...world.player('ada').abilities });
    const before = life.storage.calls.length;
    await world.pass(away - 1);
    // Up to a minute apart: half a minute on average would already be 60 looks of two calls.
    const asked = life.storage.calls.length - before;
    expect(asked).toBeGreaterThan(20);
    expect(asked).toBeLessThan(120);
    expect(life.engine.now(world.run.id)).toContain('the storage is away');

    const players = [...world.players.values()];
    for (const player of players) {
      player.manner = () => 'answer';
      for (const assignment of player.assigned) void player.answer(assignment);
    }
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    expect(world.clock.now() - start).toBeLessThan(away + 120_000);
    expect(life.complaints.length).toBeGreaterThan(5);
  });

  it('a deadline that passes is noticed when it is back', async () => {
    const quorum = { min: 1, share: 0.5 };
    const lasting = { deadlineMs: 60_000, leaseMs: 3_600_000 };
    const spec = { rounds: 1, ...lasting, evaluateEvery: 0, quorum };
    const world = await World.create({ spec, clients });
    const start = world.clock.now();
    world.player('Bo').manner = () => 'ignore';
    await world.open(outage(() => world, start + 30_000, start + 600_000));
    await world.pass(599_000);
    expect(await world.phases()).toEqual(['1.1 training']);
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await world.outcomes()).toContain('1.1 train Bo invited -');
    expect(world.clock.now() - start).toBeLessThan(661_000);
  });

  it('nothing that was acknowledged is lost, and nothing counts twice, in a storm of failures', async () => {
    const calm = await World.create({ spec: { rounds: 2 } });
    await calm.open();
    await calm.play();
    for (let seed = 1; seed <= 12; seed++) {
      const world = await World.create({ spec: { rounds: 2, deadlineMs: 7_200_000 } });
      // One call in thirty fails, before or after it took effect; the first ones let it start.
      const random = randomStream('storm', seed);
      const plan: Plan = (call) => {
        if (call < 3 || random.below(30) > 0) return null;
        return { how: 'fail', when: random.below(2) === 0 ? 'before' : 'after' };
      };
      await world.open(plan);
      await world.play();
      await world.pass(120_000);
      expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
      expect(await world.brokenPromises()).toEqual([]);
      const trained = (await world.outcomes()).filter((line) => line.includes('train'));
      expect(trained).toHaveLength(6);
      expect(await world.checkpoints()).toEqual(await calm.checkpoints());
      for (const line of trained) expect(line).toContain('accepted 0.');
    }
  });
});
