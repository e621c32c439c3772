/** From an upload to its receipt: what is answered, what is stored, and what is left behind. */
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { Assignment } from '../../protocol/messages.js';
import type { StagedBlob } from '../../server/core/ports.js';
import { Gate } from '../support/gate.js';
import { encode, goodUpdate } from '../support/updates.js';
import type { Plan } from './support/faults.js';
import type { Player } from './support/player.js';
import { World } from './support/world.js';

const clients = { ada: 'source', Bo: 'source' } as const;
const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateEvery: 0 };

interface Scene {
  readonly world: World;
  readonly ada: Player;
  readonly bo: Player;
  /** Ada's. */
  readonly open: Assignment;
}

/** A round that waits for ada and Bo, both of whom keep still. */
async function scene(plan?: Plan, more = {}): Promise<Scene> {
  const world = await World.create({ spec: { ...times, rounds: 1, ...more }, clients });
  for (const player of world.players.values()) player.manner = () => 'ignore';
  await world.open(plan);
  const [ada, bo] = [world.player('ada'), world.player('Bo')];
  return { world, ada, bo, open: ada.assigned[0] };
}

const failing =
  (...names: string[]): Plan =>
  (_, name) =>
    names.includes(name) ? { how: 'fail', when: 'before' } : null;

/** What became of a staged blob. */
function watched(staged: StagedBlob, fate: string[]): StagedBlob {
  return {
    sha256: staged.sha256,
    bytes: staged.bytes,
    where: staged.where,
    read: (start, length) => staged.read(start, length),
    readInto: (start, out) => staged.readInto(start, out),
    commit: async () => {
      await staged.commit();
      fate.push('committed');
    },
    discard: async () => {
      await staged.discard();
      fate.push('discarded');
    },
  };
}

async function submit(
  { world, ada }: Scene,
  id: string,
  bytes: Uint8Array,
): Promise<{ answer: unknown; fate: string[] }> {
  const [life] = world.lives;
  const fate: string[] = [];
  const staged = watched(await ada.stage(bytes, life), fate);
  const answer: unknown = await life.engine.submit(ada.client, id, staged).then(
    ({ status, duplicate, error }) => [status, duplicate, error?.code ?? null],
    (error: unknown) => (error as TributaryError).code,
  );
  return { answer, fate };
}

const holds = (world: World, sha256: string): Promise<boolean> =>
  world.blobs.open(sha256).then(
    () => true,
    () => false,
  );

describe('an upload', () => {
  it('gets one receipt, and the same again for the same bytes', async () => {
    const here = await scene();
    const bytes = await here.ada.update(here.open);
    expect(await submit(here, here.open.id, bytes)).toEqual({
      answer: ['accepted', false, null],
      fate: ['committed'],
    });
    expect(await submit(here, here.open.id, bytes)).toEqual({
      answer: ['accepted', true, null],
      fate: ['committed'],
    });
    const other = encode(goodUpdate(here.open, 0.5, 3));
    expect(await submit(here, here.open.id, other)).toEqual({
      answer: 'assignment_used',
      fate: ['discarded'],
    });
    await here.bo.upload(here.bo.assigned[0]);
    await here.world.settle();
    expect(await here.world.outcomes()).toEqual([
      '1.1 train Bo accepted 0.6206896551724138',
      '1.1 train ada accepted 0.3793103448275862',
    ]);
  });

  it('that is rejected uses the assignment up, and leaves nothing', async () => {
    const here = await scene();
    const bad = encode(goodUpdate(here.open, NaN, 3));
    expect(await submit(here, here.open.id, bad)).toEqual({
      answer: ['rejected', false, 'not_finite'],
      fate: ['discarded'],
    });
    expect((await submit(here, here.open.id, bad)).answer).toEqual([
      ...['rejected', true, 'not_finite'],
    ]);
    const good = await here.ada.update(here.open);
    expect((await submit(here, here.open.id, good)).answer).toBe('assignment_used');
  });

  it('made for another assignment is rejected, whoever sends it', async () => {
    const here = await scene();
    const others = await here.bo.update(here.bo.assigned[0]);
    const { answer } = await submit(here, here.open.id, others);
    expect(answer).toEqual(['rejected', false, 'bad_facts']);
    const stranger = await submit(here, here.bo.assigned[0].id, others);
    expect(stranger).toEqual({ answer: 'assignment_unknown', fate: ['discarded'] });
  });
});

describe('two uploads for one assignment at once', () => {
  /** Both have looked the assignment up before either is stored. */
  async function atOnce(here: Scene, uploads: readonly Uint8Array[]) {
    const gate = new Gate();
    here.world.pause = (name) => (name === 'store.record' ? gate.pass() : Promise.resolve());
    const answers = uploads.map((bytes) => submit(here, here.open.id, bytes));
    await here.world.moment();
    gate.open();
    return Promise.all(answers);
  }

  it('of the same bytes are one update', async () => {
    const here = await scene();
    const bytes = await here.ada.update(here.open);
    const answers = (await atOnce(here, [bytes, bytes, bytes])).map(({ answer }) => answer);
    expect(answers.sort()).toEqual([
      ['accepted', false, null],
      ['accepted', true, null],
      ['accepted', true, null],
    ]);
    expect(await here.world.leftovers()).toHaveLength(1);
    await here.bo.upload(here.bo.assigned[0]);
    await here.world.settle();
    expect(await here.world.phases()).toEqual(['1.1 closed']);
  });

  it('of different bytes: one is taken, the other one is refused and gone', async () => {
    const here = await scene();
    const bytes = [await here.ada.update(here.open), encode(goodUpdate(here.open, 0.5, 3))];
    const [one, other] = await atOnce(here, bytes);
    expect([one.answer, other.answer]).toEqual([['accepted', false, null], 'assignment_used']);
    expect(await here.world.leftovers()).toHaveLength(1);
    const stored = (await here.world.store.assignment(here.open.id))!.update!.sha256;
    const lives = here.world.lives[0];
    const hashes = await Promise.all(
      bytes.map(async (b) => (await here.ada.stage(b, lives)).sha256),
    );
    const kept = await Promise.all(hashes.map((sha256) => holds(here.world, sha256)));
    expect(hashes.map((sha256) => sha256 === stored)).toEqual(kept);
    await here.bo.upload(here.bo.assigned[0]);
    await here.world.settle();
    expect(await here.world.phases()).toEqual(['1.1 closed']);
  });

  it('leave nothing where the slower one commits after the round was folded', async () => {
    const here = await scene();
    const { world, ada, bo, open } = here;
    const bytes = await ada.update(open);
    await bo.upload(bo.assigned[0]);
    // The slower one has been judged, and stands before its commit.
    const gate = new Gate();
    let first = true;
    world.pause = (name) => {
      if (name !== 'blob.commit' || !first) return Promise.resolve();
      first = false;
      return gate.pass();
    };
    const slow = submit(here, open.id, bytes);
    await world.moment();
    expect((await submit(here, open.id, bytes)).answer).toEqual(['accepted', false, null]);
    await world.moment();
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await world.leftovers()).toEqual([]);
    gate.open();
    expect((await slow).answer).toEqual(['accepted', true, null]);
    expect(await world.leftovers()).toEqual([]);
  });
});

describe('an upload that comes as its round closes', () => {
  it('is late, and its bytes are gone', async () => {
    const here = await scene(undefined, { quorum: { min: 1, share: 0.5 } });
    const { world, ada, bo, open } = here;
    await bo.upload(bo.assigned[0]);
    const gate = new Gate();
    world.pause = (name) => (name === 'store.record' ? gate.pass() : Promise.resolve());
    const answer = submit(here, open.id, await ada.update(open));
    await world.moment();
    world.clock.advanceTo(world.clock.now() + times.deadlineMs);
    await world.moment();
    expect(await world.phases()).toEqual(['1.1 closed']);
    gate.open();
    expect((await answer).answer).toEqual(['late', false, 'late']);
    expect(await world.leftovers()).toEqual([]);
    expect(await world.outcomes()).toEqual(['1.1 train Bo accepted 1', '1.1 train ada late -']);
  });

  it('of a client that was given up is late too, while the round goes on', async () => {
    const here = await scene(undefined, { quorum: { min: 1, share: 0 } });
    const { world, ada, open } = here;
    ada.leave();
    await world.pass(times.graceMs);
    expect(await world.outcomes()).toContain('1.1 train ada dropped -');
    const { answer, fate } = await submit(here, open.id, await ada.update(open));
    expect(answer).toEqual(['late', false, 'late']);
    expect(fate).toEqual(['discarded']);
    expect(await world.phases()).toEqual(['1.1 training']);
  });
});

describe('where the storage fails', () => {
  it.each<[string, string[], string[]]>([
    ['looking the assignment up', ['store.assignment'], ['discarded']],
    ['looking the run up', ['store.run'], ['discarded']],
    ['reading it', ['blob.read'], ['discarded']],
    ['looking the checkpoint up', ['store.checkpoint'], ['discarded']],
    ['committing the bytes', ['blob.commit'], ['discarded']],
    ['storing the receipt', ['store.record'], ['committed']],
  ])('%s, nothing is promised and no spooled file is left', async (_, names, expected) => {
    let broken = false;
    const plan = failing(...names);
    const here = await scene((call, name) => (broken ? plan(call, name) : null));
    const bytes = await here.ada.update(here.open);
    broken = true;
    const { answer, fate } = await submit(here, here.open.id, bytes);
    expect(answer).toBe('storage_unavailable');
    expect(fate).toEqual(expected);
    expect(here.ada.receipts).toEqual([]);
    // The client sends it again, and it counts once.
    broken = false;
    expect((await submit(here, here.open.id, bytes)).answer).toEqual(['accepted', false, null]);
    await here.bo.upload(here.bo.assigned[0]);
    await here.world.pass(60_000);
    expect(await here.world.phases()).toEqual(['1.1 closed']);
    expect(await here.world.leftovers()).toEqual([]);
  });

  it('to answer that an update is late, its bytes are deleted when the client asks again', async () => {
    const plan: Plan = (_, name) =>
      name === 'store.record' && isLost ? { how: 'fail', when: 'after' } : null;
    let isLost = false;
    const here = await scene(plan, { quorum: { min: 1, share: 0 } });
    const { world, ada, bo, open } = here;
    const bytes = await ada.update(open);
    await bo.upload(bo.assigned[0]);
    const gate = new Gate();
    world.pause = (name) => (name === 'store.record' ? gate.pass() : Promise.resolve());
    isLost = true;
    const answer = submit(here, open.id, bytes);
    await world.moment();
    world.clock.advanceTo(world.clock.now() + times.deadlineMs);
    await world.moment();
    gate.open();
    expect((await answer).answer).toBe('storage_unavailable');
    expect(await world.leftovers()).toHaveLength(1);
    isLost = false;
    expect((await submit(here, open.id, bytes)).answer).toEqual(['late', true, 'late']);
    expect(await world.leftovers()).toEqual([]);
  });
});
