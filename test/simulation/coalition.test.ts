import { describe, expect, it } from 'vitest';
import type { Params, TrainFunction, TrainRequest } from '../../client/types.js';
import { task as taskSchema, trainingConfig } from '../../protocol/model.js';
import type { AttackView, BoundAttack } from '../../server/simulation/attacks/attack.js';
import { Coalition } from '../../server/simulation/coalition.js';

const task = taskSchema.parse({
  name: 'tiny',
  model: {
    format: 'opaque',
    body: {},
    tensors: [
      { name: 'w', shape: [2] },
      { name: 'ice', shape: [1], role: 'frozen' },
      { name: 'b', shape: [1] },
    ],
  },
  data: { features: { shape: [1] }, labels: { kind: 'value' } },
});

const model: Params = {
  w: Float32Array.of(1, 2),
  ice: Float32Array.of(7),
  b: Float32Array.of(-1),
};

function request(round: number, seed = 1): TrainRequest {
  return {
    task,
    model,
    config: trainingConfig.parse({}),
    round,
    role: 'source',
    seed,
    vectors: [],
    signal: new AbortController().signal,
    progress: () => undefined,
  };
}

/** Adds `step` to every shared weight. */
const stepping =
  (step: number): TrainFunction =>
  ({ model: { w, ice, b } }) =>
    Promise.resolve({
      params: { w: w.map((x) => x + step), ice, b: b.map((x) => x + step) },
      numExamples: 5,
    });

/** Sends 1, 2, 3 and writes down what it was shown. */
function watching(): { views: AttackView[]; attack: BoundAttack } {
  const views: AttackView[] = [];
  const forge = (view: AttackView): Float32Array => {
    views.push(view);
    return Float32Array.of(1, 2, 3);
  };
  return { views, attack: { name: 'watching', parameters: {}, poison: (data) => data, forge } };
}

describe('a coalition of attackers', () => {
  it('is shown the benign updates by client, its own, and how many there are of each', async () => {
    const { views, attack } = watching();
    const coalition = new Coalition(attack, task.model.tensors, 5);
    await coalition.overheard('zoe', stepping(0.5))(request(1));
    await coalition.overheard('ada', stepping(0.25))(request(1));
    await coalition.attacking(stepping(4))(request(1));
    const [{ benign, own, clients, attackers }] = views;
    expect(benign).toEqual([Float32Array.of(0.25, 0.25, 0.25), Float32Array.of(0.5, 0.5, 0.5)]);
    expect(own).toEqual(Float32Array.of(4, 4, 4));
    expect([clients, attackers]).toEqual([5, 3]);
  });

  it('sends what was forged in place of what was trained, and nothing else', async () => {
    const coalition = new Coalition(watching().attack, task.model.tensors, 2);
    const honest = await coalition.overheard('ada', stepping(0.5))(request(1));
    expect(honest.params.w).toEqual(Float32Array.of(1.5, 2.5));
    const sent = await coalition.attacking(stepping(4))(request(1));
    expect(sent.params).toEqual({
      w: Float32Array.of(2, 4),
      ice: Float32Array.of(7),
      b: Float32Array.of(2),
    });
    expect(sent.numExamples).toBe(5);
    expect(model.w).toEqual(Float32Array.of(1, 2));
  });

  it('forgets the updates of the round before', async () => {
    const { views, attack } = watching();
    const coalition = new Coalition(attack, task.model.tensors, 3);
    for (const name of ['ada', 'bo']) await coalition.overheard(name, stepping(1))(request(1));
    await coalition.overheard('bo', stepping(2))(request(2));
    await coalition.attacking(stepping(4))(request(2));
    expect(views[0].benign).toEqual([Float32Array.of(2, 2, 2)]);
    expect(views[0].attackers).toBe(2);
  });

  it('gives each attacker randomness of its own, from its assignment', async () => {
    const { views, attack } = watching();
    const coalition = new Coalition(attack, task.model.tensors, 3);
    await coalition.overheard('ada', stepping(1))(request(1));
    for (const seed of [8, 8, 9]) await coalition.attacking(stepping(4))(request(1, seed));
    const [one, same, other] = views.map(({ random }) => random.uint32());
    expect(one).toBe(same);
    expect(one).not.toBe(other);
  });

  it('cannot attack a round that has no benign client', async () => {
    const coalition = new Coalition(watching().attack, task.model.tensors, 1);
    await expect(coalition.attacking(stepping(4))(request(1))).rejects.toThrow('no benign client');
  });
});
