/** What a rule asks of clients and sends down to them reaches those that train. */
import { afterEach, describe, expect, it } from 'vitest';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { readAll } from '../../server/engine/checkpoints.js';
import { ODD_RULE, nothing, register } from './support/odd-rule.js';
import { World } from './support/world.js';

/** Shared tensors of the plain task: kernel [3, 2], bias [2], a scalar. */
const SHARED = 9;

let unregister: () => void = () => undefined;
afterEach(() => unregister());

/** A rule that sends down how many rounds it has seen. */
function counting(): void {
  unregister = register({
    finish: (acc, { model, state }) => {
      const before = Object.hasOwn(state.tensors, 'rounds') ? state.tensors.rounds[0] : 0;
      const rounds = new Float64Array(SHARED).fill(before + 1);
      const outcome = nothing(acc, model.length);
      return Promise.resolve({ ...outcome, state: { tensors: { rounds }, values: {} } });
    },
    broadcast: ({ tensors }) => tensors,
    training: () => ({ steps: 17, proximalMu: 0.5 }),
  });
}

async function played(): Promise<World> {
  // Of a run that lets go what it needs no longer, only the newest vectors would be left.
  const rounds = { rounds: 3, evaluateEvery: 1, keepUpdates: true };
  const world = await World.create({ spec: { rule: { name: ODD_RULE }, ...rounds } });
  await world.open();
  await world.play();
  return world;
}

describe('a broadcast', () => {
  it('is stored with every checkpoint that has one, over the shared tensors', async () => {
    counting();
    const world = await played();
    expect((await world.store.checkpoint(world.run.id, 0))?.broadcast).toBeNull();
    for (const version of [1, 2, 3]) {
      const checkpoint = await world.store.checkpoint(world.run.id, version);
      const { sha256, bytes } = checkpoint!.broadcast!;
      const file = await readAll(await world.blobs.open(sha256));
      expect(file.byteLength).toBe(bytes);
      const { tensors } = decodeSafetensors(file);
      expect(Object.entries(tensors).map(([name, { shape }]) => [name, shape])).toEqual([
        ['rounds/kernel', [3, 2]],
        ['rounds/bias', [2]],
        ['rounds/temperature', []],
      ]);
      for (const { data } of Object.values(tensors)) {
        expect(new Set(data as Float32Array)).toEqual(new Set([version]));
      }
    }
  });

  it('is announced to those that train, and to nobody else', async () => {
    counting();
    const world = await played();
    for (const { assigned } of world.players.values()) {
      const train = assigned.filter(({ kind }) => kind === 'train');
      expect(train.map(({ broadcast }) => broadcast?.path)).toEqual([
        undefined,
        `/v1/runs/${world.run.id}/checkpoints/1/broadcast`,
        `/v1/runs/${world.run.id}/checkpoints/2/broadcast`,
      ]);
      const evaluate = assigned.filter(({ kind }) => kind === 'evaluate');
      expect(evaluate).toHaveLength(3);
      expect(evaluate.some((assignment) => 'broadcast' in assignment)).toBe(false);
    }
  });

  it('comes with what the rule asks of the training', async () => {
    counting();
    const world = await played();
    const [first] = world.player('ada').assigned;
    expect(first.training).toMatchObject({ steps: 17, proximalMu: 0.5, learningRate: 0.05 });
  });

  it('ends the round with the reason where it cannot be sent', async () => {
    unregister = register({ broadcast: () => ({ odd: Float64Array.of(1, 2) }) });
    await expect(World.create({ spec: { rule: { name: ODD_RULE } } })).rejects.toThrow(
      'the rule sends "odd" with 2 elements; the model has 9',
    );
    unregister();
    unregister = register({
      finish: (acc, { model }) =>
        Promise.resolve({
          ...nothing(acc, model.length),
          state: { tensors: { far: new Float64Array(SHARED).fill(1e300) }, values: {} },
        }),
      broadcast: ({ tensors }) => tensors,
    });
    const world = await World.create({ spec: { rule: { name: ODD_RULE }, retries: 0 } });
    await world.open();
    await world.play();
    const run = await world.store.run(world.run.id);
    expect(run?.status).toBe('failed');
    expect(run?.reason).toContain('"far" has values beyond float32');
  });
});

describe('the weight that a client asks for', () => {
  it('is null until there is an upload, and a commit', async () => {
    const world = await World.create({});
    world.player('Bo').manner = () => 'ignore';
    const { engine } = await world.open();
    await world.settle();
    const { client, receipts } = world.player('ada');
    expect(receipts.map(({ status }) => status)).toEqual(['accepted']);
    const [{ assignmentId, sha256 }] = receipts;
    expect(await engine.weightGiven(client, assignmentId)).toEqual({ weight: null, sha256 });
    const { client: other, assigned } = world.player('Bo');
    expect(await engine.weightGiven(other, assigned[0].id)).toEqual({ weight: null, sha256: null });
  });

  it('is what the commit gave, and nobody else is told', async () => {
    const world = await World.create({ spec: { rounds: 1, rule: { name: 'uniform' } } });
    const { engine } = await world.open();
    await world.play();
    const [ada, Bo] = [world.player('ada'), world.player('Bo')];
    const [{ assignmentId, sha256 }] = ada.receipts;
    expect(await engine.weightGiven(ada.client, assignmentId)).toEqual({ weight: 1 / 3, sha256 });
    await expect(engine.weightGiven(Bo.client, assignmentId)).rejects.toMatchObject({
      code: 'assignment_unknown',
    });
  });
});
