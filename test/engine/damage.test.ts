/** Blobs that are missing or altered: told apart by their hash, said, waited for, and mended. */
import { describe, expect, it } from 'vitest';
import type { Blob } from '../../server/core/ports.js';
import type { LedgerEvent } from '../../server/core/records.js';
import { putBlob, readAll } from '../../server/engine/checkpoints.js';
import { Gate } from '../support/gate.js';
import { World } from './support/world.js';
import type { WorldOptions } from './support/world.js';

const clients = { ada: 'source', Bo: 'source' } as const;
const DEADLINE_MS = 600_000;
const spec = { rounds: 2, deadlineMs: DEADLINE_MS, evaluateEvery: 0 };

/** A round that has ada's update; it waits for Bo's. */
async function withUpdateOfAda(options: WorldOptions = {}): Promise<World> {
  const world = await World.create({ ...options, spec: { ...spec, ...options.spec }, clients });
  const [ada, bo] = [world.player('ada'), world.player('Bo')];
  for (const player of [ada, bo]) player.manner = () => 'ignore';
  await world.open();
  await ada.answer(ada.assigned[0]);
  for (const player of [ada, bo]) player.manner = () => 'answer';
  return world;
}

async function undisturbed(): Promise<string[]> {
  const world = await World.create({ spec, clients });
  await world.open();
  await world.play();
  return world.checkpoints();
}

function hashOfAda(world: World): string {
  return world.player('ada').receipts[0].sha256;
}

/** Other bytes under the same hash, until the function that comes back is called. */
function alter(world: World, sha256: string): () => void {
  const open = world.blobs.open.bind(world.blobs);
  const altered = (blob: Blob): Blob => {
    const spoil = (start: number, bytes: Uint8Array): Uint8Array => {
      if (start === 0 && bytes.byteLength > 0) bytes[bytes.byteLength - 1] ^= 1;
      return bytes;
    };
    return {
      ...blob,
      read: async (start, length) => spoil(start, await blob.read(start, length)),
      readInto: async (start, out) => {
        await blob.readInto(start, out);
        spoil(start, out);
      },
    };
  };
  world.blobs.open = async (hash) => {
    const blob = await open(hash);
    return hash === sha256 ? altered(blob) : blob;
  };
  return () => {
    world.blobs.open = open;
  };
}

async function damages(world: World): Promise<LedgerEvent[]> {
  const events = await world.store.events(world.run.id);
  return events.filter(({ type }) => type === 'blob-damaged');
}

describe('an update that is missing', () => {
  it('is mended by its client, which sends it again, and the model is as it would have been', async () => {
    const world = await withUpdateOfAda();
    const [ada, bo] = [world.player('ada'), world.player('Bo')];
    const bytes = await readAll(await world.blobs.open(hashOfAda(world)));
    await world.blobs.delete(hashOfAda(world));
    await bo.answer(bo.assigned[0]);
    await world.pass(120_000);

    const now = world.lives[0].engine.now(world.run.id);
    expect(now).toContain('the update of "ada" for round 1');
    expect(now).toContain(`blob ${hashOfAda(world)} is missing from memory`);
    expect(await world.phases()).toEqual(['1.1 aggregating']);

    const receipt = await ada.upload(ada.assigned[0], bytes);
    expect(receipt).toMatchObject({ status: 'accepted', duplicate: true });
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    expect(await world.checkpoints()).toEqual(await undisturbed());
    expect(await world.leftovers()).toEqual([]);
  });

  it('is in the ledger once, however often it is looked for, and whoever looks', async () => {
    const world = await withUpdateOfAda();
    await world.blobs.delete(hashOfAda(world));
    await world.player('Bo').answer(world.player('Bo').assigned[0]);
    await world.pass(100_000);
    await world.lives[0].engine.close();
    await world.open();
    await world.pass(100_000);
    expect((await damages(world)).map(({ body }) => body)).toEqual([
      {
        ...{ round: 1, attempt: 1, blob: hashOfAda(world) },
        what: 'the update of "ada" for round 1',
      },
    ]);
  });

  it('is given up after as long as the round waits for its clients, though it was restarted', async () => {
    const world = await withUpdateOfAda();
    await world.blobs.delete(hashOfAda(world));
    await world.player('Bo').answer(world.player('Bo').assigned[0]);
    await world.pass(DEADLINE_MS / 2);
    await world.lives[0].engine.close();
    await world.open();
    await world.pass(DEADLINE_MS / 2 - 120_000);
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    await world.pass(240_000);
    expect((await world.phases()).slice(0, 2)).toEqual(['1.1 abandoned', '1.2 closed']);
    const [first] = await world.store.rounds(world.run.id);
    expect(first.round.reason).toContain('the update of "ada" for round 1');
    await world.play();
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 closed', '2.1 closed']);
  });
});

describe('an update that was deleted with its round', () => {
  it('is no damage to who still folded it: another coordinator has stopped the run', async () => {
    const world = await withUpdateOfAda();
    const [leader, other] = [world.lives[0], world.boot()];
    const gate = new Gate();
    world.pause = (name, life) =>
      name === 'blobs.open' && life === 0 ? gate.pass() : Promise.resolve();
    await world.player('Bo').answer(world.player('Bo').assigned[0]);
    await world.moment();
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    await other.engine.stopRun(world.run.id, 'enough');
    gate.open();
    await world.pass(10_000);
    expect(await damages(world)).toEqual([]);
    expect((await world.ledger()).at(-1)).toBe('run-stopped');
    expect(leader.engine.now(world.run.id)).toBe('stopped');
  });
});

describe('an update that was altered', () => {
  it('is never folded: it is waited for until its bytes are back', async () => {
    const world = await withUpdateOfAda();
    const restore = alter(world, hashOfAda(world));
    await world.player('Bo').answer(world.player('Bo').assigned[0]);
    await world.pass(120_000);
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    expect(world.lives[0].engine.now(world.run.id)).toContain('has other bytes');
    expect(await world.checkpoints()).toHaveLength(1);
    restore();
    await world.play();
    expect(await world.checkpoints()).toEqual(await undisturbed());
    expect(await damages(world)).toHaveLength(1);
  });
});

describe('a model that is damaged', () => {
  it.each(['missing', 'altered'])(
    'because it is %s is nobody’s to train from, and is waited for without an end',
    async (how) => {
      const world = await World.create({ spec, clients });
      const { sha256 } = (await world.store.checkpoint(world.run.id, 0))!;
      const bytes = await readAll(await world.blobs.open(sha256));
      const restore = how === 'altered' ? alter(world, sha256) : () => undefined;
      if (how === 'missing') await world.blobs.delete(sha256);
      await world.open();
      await world.pass(20 * DEADLINE_MS);
      expect(await world.phases()).toEqual(['1.1 waiting']);
      expect(world.player('ada').assigned).toEqual([]);
      expect(world.lives[0].engine.now(world.run.id)).toContain('the model of checkpoint 0');
      expect(await damages(world)).toHaveLength(1);
      restore();
      await putBlob(world.blobs, bytes);
      await world.play();
      expect(await world.checkpoints()).toEqual(await undisturbed());
    },
  );

  it('while its round is aggregated is waited for without an end too', async () => {
    const world = await withUpdateOfAda();
    const { sha256 } = (await world.store.checkpoint(world.run.id, 0))!;
    const bo = world.player('Bo');
    const staged = await bo.update(bo.assigned[0]);
    const restore = alter(world, sha256);
    await bo.upload(bo.assigned[0], staged);
    await world.pass(5 * DEADLINE_MS);
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    restore();
    await world.play();
    expect(await world.checkpoints()).toEqual(await undisturbed());
  });
});

describe('the state of a rule that is damaged', () => {
  const optimizer = { name: 'adam' };

  it('is waited for before anybody trains, and costs no attempt', async () => {
    const world = await World.create({ spec: { ...spec, optimizer }, clients });
    for (const player of world.players.values()) player.manner = () => 'ignore';
    const life = await world.open();
    const [ada, bo] = world.players.values();
    await ada.answer(ada.assigned[0]);
    bo.leave();
    // The state of the next version is altered as soon as it is stored.
    let restore = (): void => undefined;
    world.pause = async (name) => {
      if (name !== 'store.currentRound') return;
      const stored = await world.store.checkpoint(world.run.id, 1);
      if (stored) restore = alter(world, stored.stateSha256!);
      if (stored) world.pause = () => Promise.resolve();
    };
    await bo.connect();
    await bo.answer(bo.assigned[0]);
    await world.pass(3 * DEADLINE_MS);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 waiting']);
    expect(life.engine.now(world.run.id)).toContain('the state of rule and optimizer at checkp');
    restore();
    for (const player of world.players.values()) player.manner = () => 'answer';
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
  });

  it('while clients train is waited for when their updates are folded', async () => {
    const world = await World.create({ spec: { ...spec, optimizer }, clients });
    const players = [...world.players.values()];
    for (const player of players)
      player.manner = ({ round }) => (round === 1 ? 'answer' : 'ignore');
    const { engine } = await world.open();
    await world.settle();
    const state = (await world.store.checkpoint(world.run.id, 1))!.stateSha256!;
    const updates = await Promise.all(players.map((player) => player.update(player.assigned[1])));
    for (const [i, player] of players.entries()) {
      if (i === 1) break;
      await player.upload(player.assigned[1], updates[i]);
    }
    const restore = alter(world, state);
    await players[1].upload(players[1].assigned[1], updates[1]);
    await world.pass(3 * DEADLINE_MS);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 aggregating']);
    expect(engine.now(world.run.id)).toContain('the state of rule and optimizer');
    restore();
    await world.play();
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
  });
});

it('an update that comes late needs no state to be told so', async () => {
  // Updates are weighed by the state, which is let go with its round.
  const late = { quorum: { min: 1, share: 0.5 }, optimizer: { name: 'adam' }, deadlineMs: 60_000 };
  const world = await World.create({
    spec: { ...spec, ...late, rounds: 4 },
    clients: { ada: 'source', Bo: 'source', cyd: 'source' },
  });
  world.pause = (name) => {
    if (name === 'store.commit') world.clock.advanceTo(world.clock.now() + 5);
    return Promise.resolve();
  };
  const cyd = world.player('cyd');
  cyd.manner = ({ round }) => (round === 2 ? 'ignore' : 'answer');
  await world.open();
  await world.play();
  const missed = cyd.assigned.find(({ round }) => round === 2)!;
  const { stateSha256 } = (await world.store.checkpoint(world.run.id, 1))!;
  await expect(world.blobs.open(stateSha256!)).rejects.toMatchObject({ code: 'blob_damaged' });
  // The state is remembered by the process that let it go.
  await world.lives[0].engine.close();
  world.lives[0].alive = false;
  await world.open();
  expect(await cyd.upload(missed)).toMatchObject({ status: 'late' });
});
