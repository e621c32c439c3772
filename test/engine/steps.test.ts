/** Steps after aggregation in a run: as the operator names them, and the average that one keeps. */
import { describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { layoutOf } from '../../server/core/layout.js';
import type { Checkpoint } from '../../server/core/records.js';
import { averagedModel } from '../../server/engine/average.js';
import type { Params } from '../../server/engine/checkpoints.js';
import { decodeModel, flatten, readAll } from '../../server/engine/checkpoints.js';
import { initialParams, plainTask } from '../support/plain-task.js';
import { World } from './support/world.js';

const { tensors } = plainTask.model;
const shared = layoutOf(tensors, 'shared');

async function played(after: RunSpecInput['after'], rounds = 3): Promise<World> {
  const world = await World.create({ spec: { rounds, evaluateEvery: 0, after } });
  await world.open();
  await world.play();
  return world;
}

async function checkpointOf(world: World, version: number): Promise<Checkpoint> {
  return (await world.store.checkpoint(world.run.id, version))!;
}

async function modelOf(world: World, version: number): Promise<Params> {
  const { sha256 } = await checkpointOf(world, version);
  return decodeModel(await readAll(await world.blobs.open(sha256)), tensors);
}

async function averageAt(world: World, version: number): Promise<Params> {
  const checkpoint = await checkpointOf(world, version);
  return decodeModel(await averagedModel(world.run, checkpoint, world.blobs), tensors);
}

describe('a run with the step ema', () => {
  it('trains as without it, and keeps the average of its checkpoints', async () => {
    const [plain, world] = await Promise.all([
      played([]),
      played([{ name: 'ema', options: { d: 0.75 } }]),
    ]);
    let expected = Float64Array.from(flatten(initialParams, shared));
    for (const version of [0, 1, 2, 3]) {
      const model = await modelOf(world, version);
      expect(model).toEqual(await modelOf(plain, version));
      const flat = flatten(model, shared);
      if (version > 0) expected = expected.map((mean, i) => 0.75 * mean + 0.25 * flat[i]);
      const average = await averageAt(world, version);
      expect(flatten(average, shared)).toEqual(Float32Array.from(expected));
      // Buffers and frozen tensors are the checkpoint's own.
      expect(average['running-mean']).toEqual(model['running-mean']);
      expect(average.vocabulary).toEqual(model.vocabulary);
    }
  });

  it('is what the run stores, with the options that were left out', async () => {
    const world = await World.create({ spec: { after: [{ name: 'ema' }, { name: 'bcwi' }] } });
    const stored = (await world.store.run(world.run.id))!;
    expect(stored.spec.after).toEqual([
      { name: 'ema', options: { d: 0.9 } },
      { name: 'bcwi', options: { a: 0.5 } },
    ]);
  });
});

describe('a run with the step bcwi', () => {
  it('goes half as far in its first round', async () => {
    const [plain, world] = await Promise.all([played([], 1), played([{ name: 'bcwi' }], 1)]);
    const start = flatten(initialParams, shared);
    const [far, near] = [await modelOf(plain, 1), await modelOf(world, 1)];
    flatten(near, shared).forEach((value, i) => {
      const step = flatten(far, shared)[i] - start[i];
      expect(value - start[i]).toBeCloseTo(step / 2, 6);
    });
    await expect(averageAt(world, 1)).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('"after": [{ "name": "ema" }]') as string,
    });
  });
});

describe('a step', () => {
  it.each<[string, RunSpecInput['after'], string, RegExp]>([
    ['that there is not', [{ name: 'emma' }], 'rule_unknown', /did you mean "ema"/],
    ['with an unknown option', [{ name: 'ema', options: { decay: 1 } }], 'rule_options', /"decay"/],
    ['with an option out of range', [{ name: 'bcwi', options: { a: 1 } }], 'rule_options', /"a"/],
  ])('%s is refused when the run is created', async (_, after, code, message) => {
    await expect(World.create({ spec: { after } })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});
