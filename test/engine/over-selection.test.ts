/** More are invited than are needed; drop-outs are replaced, and the silent are drop-outs. */
import { describe, expect, it } from 'vitest';
import { Gate } from '../support/gate.js';
import { at } from './support/faults.js';
import { World } from './support/world.js';

const times = { deadlineMs: 60_000, graceMs: 5_000, leaseMs: 10_000, retries: 2 };
const quick = { ...times, rounds: 1, evaluateEvery: 0 };

function sources(count: number): Record<string, 'source'> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`c${String(i).padStart(2, '0')}`, 'source']),
  );
}

/** A world of many sources that wants `size` of them, everybody present. */
async function gathered(size: number, count: number, more: object = {}): Promise<World> {
  const spec = {
    ...{ ...quick, cohort: { size, overSelection: 1.3 } },
    ...{ quorum: { min: 2, share: 0.8 }, ...more },
  };
  const world = await World.create({ spec, clients: sources(count) });
  for (const player of world.players.values()) player.manner = () => 'ignore';
  await world.boot().engine.start();
  world.gather();
  await world.settle();
  return world;
}

const invited = (world: World): string[] =>
  [...world.players.values()].filter((p) => p.assigned.length > 0).map((p) => p.client.id);

/** Comes back, and goes on with what it did. */
function back(world: World, name: string): void {
  const player = world.player(name);
  player.present = true;
  for (const { engine, alive } of world.lives) {
    if (alive) engine.joined({ ...player.client, ...player.abilities });
  }
}

async function answers(world: World, names: readonly string[]): Promise<void> {
  for (const name of names) await world.player(name).upload(world.player(name).assigned[0]);
  await world.settle();
}

/** How many assignments have each state. */
async function standing(world: World): Promise<Record<string, number>> {
  const states = (await world.outcomes()).map((line) => line.split(' ')[3]);
  const counts: Record<string, number> = {};
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

describe('a round with over-selection', () => {
  it('closes with the updates wanted, and tells the others to stop', async () => {
    const world = await gathered(10, 20);
    const names = invited(world);
    expect(names).toHaveLength(13);
    await answers(world, names.slice(0, 9));
    expect(await world.phases()).toEqual(['1.1 training']);
    expect(world.lives[0].engine.now(world.run.id)).toBe('round 1: training: 9 of 10 updates');
    await answers(world, names.slice(9, 10));
    expect(await world.phases()).toEqual(['1.1 closed']);
    for (const name of names.slice(10)) {
      const player = world.player(name);
      expect(player.closed).toEqual([player.assigned[0].id]);
      const receipt = await player.upload(player.assigned[0]);
      expect(receipt).toMatchObject({ status: 'late', error: { code: 'late' } });
    }
    expect(await standing(world)).toEqual({ accepted: 10, late: 3 });
    expect(await world.leftovers()).toEqual([]);
  });

  it('tells stragglers to stop after a failure too, if the answer to the close was lost', async () => {
    const world = await gathered(10, 20);
    const names = invited(world);
    await world.lives[0].engine.close();
    world.lives[0].alive = false;
    await answersTo(world, names.slice(0, 10));
    const player = world.player(names[12]);
    expect(player.closed).toEqual([player.assigned[0].id]);
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  /** A new process, in which the commit that closes the collection takes effect and fails. */
  async function answersTo(world: World, names: readonly string[]): Promise<void> {
    let commits = 0;
    const life = world.boot((_, name) => {
      const closes = name === 'store.commit' && ++commits === 1;
      return closes ? { how: 'fail', when: 'after' } : null;
    });
    await life.engine.start();
    await answers(world, names);
    await world.pass(5_000);
  }

  it('puts the assignment of each update into the ledger', async () => {
    const world = await gathered(3, 3);
    await answers(world, invited(world));
    const events = await world.store.events(world.run.id);
    const began = events.find(({ type }) => type === 'round-began');
    expect(began?.body).toMatchObject({ cohort: invited(world), wanted: 3 });
    const committed = events.find(({ type }) => type === 'round-committed');
    const given = [...world.players.values()].map(({ client, assigned, receipts }) => ({
      ...{ clientId: client.id, assignment: assigned[0].id, update: receipts[0].sha256 },
    }));
    expect(committed?.body).toMatchObject({ given });
  });
});

describe('drop-outs', () => {
  it('are replaced while there is time, and nobody is invited twice', async () => {
    const world = await gathered(10, 20, { leaseMs: 60_000 });
    const first = invited(world);
    for (const name of first.slice(0, 4)) world.player(name).leave();
    await world.pass(times.graceMs);
    // Nine are left of ten wanted: over-selected again, thirteen work, as far as there are others.
    expect(invited(world)).toHaveLength(17);
    expect(await standing(world)).toEqual({ invited: 13, dropped: 4 });
    for (const name of first.slice(0, 4)) back(world, name);
    for (const name of first.slice(4, 12)) world.player(name).leave();
    await world.pass(times.graceMs);
    expect(await standing(world)).toEqual({ invited: 8, dropped: 12 });
    expect(new Set(invited(world)).size).toBe(20);
    const working = (await world.outcomes()).filter((line) => line.includes('invited'));
    await answers(
      world,
      working.map((line) => line.split(' ')[2]),
    );
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await standing(world)).toEqual({ accepted: 8, dropped: 12 });
    const extended = (await world.ledger()).filter((type) => type === 'round-extended');
    expect(extended).toHaveLength(2);
  });

  it('have replacements with the rest of the time, and a lease of their own', async () => {
    const world = await gathered(4, 8);
    const first = invited(world);
    expect(first).toHaveLength(6);
    await world.pass(8_000);
    for (const name of first) world.player(name).beat();
    for (const name of first.slice(0, 3)) world.player(name).leave();
    await world.pass(5_000);
    const later = invited(world).filter((name) => !first.includes(name));
    expect(later).toHaveLength(2);
    expect(world.player(later[0]).assigned[0].remainingMs).toBe(47_000);
    await world.pass(5_000);
    // The first have been silent for ten seconds by now, the later ones for five.
    const open = (await world.outcomes()).filter((line) => line.includes('invited'));
    expect(open.map((line) => line.split(' ')[2])).toEqual(later);
  });

  it('are not replaced after half of the time', async () => {
    const world = await gathered(10, 20, { leaseMs: 60_000 });
    const first = invited(world);
    await world.pass(28_000);
    for (const name of first.slice(0, 5)) world.player(name).leave();
    await world.pass(5_000);
    expect(invited(world)).toHaveLength(13);
    await answers(world, first.slice(5));
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await standing(world)).toEqual({ accepted: 8, dropped: 5 });
  });

  it('are replaced by who comes later, one after the other', async () => {
    const world = await World.create({
      spec: { ...quick, cohort: { size: 'all', waitMs: 1_000 }, quorum: { min: 2, share: 0.5 } },
      clients: sources(4),
    });
    for (const player of world.players.values()) player.manner = () => 'ignore';
    await world.boot().engine.start();
    for (const name of ['c00', 'c01', 'c02']) await world.player(name).connect();
    await world.pass(1_000);
    world.player('c00').leave();
    await world.pass(5_000);
    expect(await standing(world)).toEqual({ invited: 2, dropped: 1 });
    await world.player('c03').connect();
    await world.settle();
    expect(await standing(world)).toEqual({ invited: 3, dropped: 1 });
    await answers(world, ['c01', 'c02', 'c03']);
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('who decline are replaced at once, as those are whose update is refused', async () => {
    const world = await gathered(4, 12, { cohort: { size: 4, overSelection: 1 } });
    const [engine, [one, two]] = [world.lives[0].engine, invited(world)];
    const { client, assigned } = world.player(one);
    await engine.decline(client, assigned[0].id, 'no battery');
    await world.settle();
    expect(invited(world)).toHaveLength(5);
    const other = world.player(two);
    const receipt = await other.upload(other.assigned[0], new Uint8Array(64));
    expect(receipt.status).toBe('rejected');
    await world.settle();
    expect(invited(world)).toHaveLength(6);
    expect(await standing(world)).toEqual({ invited: 4, dropped: 1, rejected: 1 });
  });
});

describe('a lease', () => {
  it('runs out where its client is there and says nothing', async () => {
    const world = await gathered(3, 3, { quorum: { min: 2, share: 0.6 } });
    const [silent, ...others] = invited(world);
    await world.pass(6_000);
    for (const name of others) world.player(name).beat();
    await world.pass(3_999);
    expect(await standing(world)).toEqual({ invited: 3 });
    await world.pass(1);
    expect(await standing(world)).toEqual({ invited: 2, dropped: 1 });
    expect(world.player(silent).closed).toEqual([world.player(silent).assigned[0].id]);
    await answers(world, others);
    expect(await world.phases()).toEqual(['1.1 closed']);
    const late = await world.player(silent).upload(world.player(silent).assigned[0]);
    expect(late.status).toBe('late');
  });

  it('is renewed by whatever the client says of its assignment', async () => {
    const world = await gathered(3, 3);
    for (let second = 0; second < 50; second += 9) {
      await world.pass(9_000);
      for (const player of world.players.values()) player.beat();
    }
    expect(await standing(world)).toEqual({ invited: 3 });
  });

  it('does not run out while the update is on its way, though the client lost its connection', async () => {
    const world = await gathered(3, 3, { quorum: { min: 2, share: 0.6 } });
    const [slow, other] = invited(world);
    const [{ engine }] = world.lives;
    const gate = new Gate();
    const player = world.player(slow);
    const uploading = engine.whileUploading(player.client, player.assigned[0].id, async () => {
      await gate.pass();
      return player.upload(player.assigned[0]);
    });
    player.leave();
    await answers(world, [other]);
    await world.pass(20_000);
    expect(await standing(world)).toEqual({ accepted: 1, invited: 1, dropped: 1 });
    gate.open();
    expect((await uploading).status).toBe('accepted');
    await world.settle();
    expect(await world.phases()).toEqual(['1.1 closed']);
  });

  it('begins anew with another coordinator, and with another connection', async () => {
    const world = await gathered(3, 3);
    await world.pass(9_000);
    await world.lives[0].engine.close();
    world.lives[0].alive = false;
    for (const player of world.players.values()) player.cut();
    await world.boot().engine.start();
    await world.pass(4_000);
    for (const name of world.players.keys()) back(world, name);
    await world.pass(9_999);
    expect(await standing(world)).toEqual({ invited: 3 });
    await world.pass(1);
    expect(await standing(world)).toEqual({ dropped: 3 });
  });

  it('holds for evaluations too', async () => {
    const world = await gathered(3, 3, { evaluateEvery: 1, evaluateDeadlineMs: 60_000 });
    await answers(world, invited(world));
    expect(await world.phases()).toEqual(['1.1 evaluating']);
    await world.pass(10_000);
    expect(await world.phases()).toEqual(['1.1 closed']);
  });
});

describe('a crash', () => {
  it('between inviting replacements and telling them leaves nobody untold', async () => {
    const calm = await gathered(4, 12, { cohort: { size: 4, overSelection: 1 } });
    const probe = calm.lives[0].storage;
    const before = probe.calls.length;
    calm.player(invited(calm)[0]).leave();
    await calm.pass(5_000);
    const call = probe.calls.findIndex((name, i) => i >= before && name === 'store.commit') + 1;
    expect(call).toBeGreaterThan(0);

    const world = await World.create({
      spec: {
        ...{ ...quick, cohort: { size: 4, overSelection: 1 } },
        quorum: { min: 2, share: 0.8 },
      },
      clients: sources(12),
    });
    for (const player of world.players.values()) player.manner = () => 'ignore';
    const life = world.boot(at(call, 'die', 'after'));
    await life.engine.start();
    world.gather();
    await world.settle();
    const first = invited(world);
    world.player(first[0]).leave();
    await world.pass(5_000);
    expect(life.alive).toBe(false);
    expect(invited(world)).toEqual(first);
    await world.boot().engine.start();
    await world.settle();
    expect(invited(world)).toHaveLength(5);
    expect(await standing(world)).toEqual({ invited: 4, dropped: 1 });
  });
});
