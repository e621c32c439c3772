/** Two coordinators on one storage, both doing every duty, in many interleavings. */
import { describe, expect, it } from 'vitest';
import { randomStream } from '../../server/core/random.js';
import { at } from './support/faults.js';
import { World } from './support/world.js';

const spec = { rounds: 2, optimizer: { name: 'momentum' } };
const roles = { ada: 'source', Bo: 'source', cyd: 'source', dora: 'evaluator' } as const;

/** Of two rounds: begin, close, commit, end of the evaluation. */
const STEPS = 2 * 4;
const isCommit = (call: string): boolean => call === 'store.commit';

/** Each call of the storage takes a few turns of the event loop, drawn by seed. */
function shaken(world: World, seed: number): void {
  const random = randomStream('interleaving', seed);
  world.pause = async () => {
    for (let turns = random.below(5); turns > 0; turns--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
}

async function together(seed: number): Promise<World> {
  const world = await World.create({ spec, clients: roles });
  shaken(world, seed);
  const lives = [world.boot(), world.boot()];
  await Promise.all(lives.map(({ engine }) => engine.start()));
  for (const player of world.players.values()) await player.connect();
  return world;
}

describe('two engines on one storage', () => {
  it('end as one does, whatever their interleaving', async () => {
    const alone = await World.create({ spec, clients: roles });
    await alone.open();
    await alone.play();
    const expected = await alone.record();
    let lost = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const world = await together(seed);
      await world.play();
      await world.pass(5_000);
      expect(await world.record()).toEqual(expected);
      expect(await world.brokenPromises()).toEqual([]);
      expect(await world.leftovers()).toEqual([]);
      const commits = world.lives.flatMap(({ storage }) => storage.calls).filter(isCommit);
      lost += commits.length - STEPS;
      for (const { engine } of world.lives) expect(engine.now(world.run.id)).toBe('completed');
    }
    // Else they would not have been in each other's way.
    expect(lost).toBeGreaterThan(20);
  });

  it('one dies in the middle, and the other one finishes', async () => {
    const world = await World.create({ spec, clients: roles });
    shaken(world, 99);
    const lives = [world.boot(at(60, 'die', 'after')), world.boot()];
    await Promise.all(lives.map(({ engine, death }) => Promise.race([engine.start(), death])));
    for (const player of world.players.values()) await player.connect();
    // All at once: time must not pass before the last of them is back.
    const reconnecting = lives[0].death.then(() =>
      Promise.all([...world.players.values()].map((player) => player.connect())),
    );
    await world.play();
    await reconnecting;
    await world.pass(5_000);
    expect(lives.map(({ alive }) => alive)).toEqual([false, true]);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    expect(await world.brokenPromises()).toEqual([]);
    expect((await world.ledger()).filter((type) => type === 'round-committed')).toHaveLength(2);
  });
});
