import { beforeAll, describe, expect, it } from 'vitest';
import { checkDataset } from '../../client/tfjs/dataset.js';
import { initialParams } from '../../client/tfjs/model.js';
import type { Task } from '../../protocol/model.js';
import { elements, task as taskSchema } from '../../protocol/model.js';
import { digitsTask, heartTask } from '../../server/simulation/tasks.js';

const size = ({ model }: Task): number =>
  model.tensors.reduce((sum, { shape }) => sum + elements(shape), 0);

describe('the digits task', () => {
  let digits: Task;
  beforeAll(async () => {
    digits = await digitsTask();
  });

  it('is a perceptron 784-64-10 of which everything is shared', () => {
    expect(digits.model.tensors.map(({ name, shape, role }) => [name, shape, role])).toEqual([
      ['hidden/kernel', [784, 64], 'shared'],
      ['hidden/bias', [64], 'shared'],
      ['output/kernel', [64, 10], 'shared'],
      ['output/bias', [10], 'shared'],
    ]);
    expect(size(digits)).toBe(50_890);
  });

  it('survives the wire and is the same each time that it is made', async () => {
    expect(taskSchema.parse(JSON.parse(JSON.stringify(digits)))).toEqual(digits);
    expect(await digitsTask()).toEqual(digits);
  });

  it('takes pixels from 0 to 1 and the classes 0 to 9', () => {
    const features = new Float32Array(784).fill(0.5);
    const data = { features, labels: Int32Array.of(9), size: 1 };
    expect(() => checkDataset(digits.data, data)).not.toThrow();
    expect(() => checkDataset(digits.data, { ...data, labels: Int32Array.of(10) })).toThrow();
    const bright = { ...data, features: features.map(() => 255) };
    expect(() => checkDataset(digits.data, bright)).toThrow();
  });
});

describe('the heart task', () => {
  it('is a logistic regression that starts uniform within 1 / sqrt(13)', async () => {
    const heart = await heartTask();
    expect(size(heart)).toBe(14);
    const bound = 1 / Math.sqrt(13);
    const draws = await Promise.all(
      [1, 2, 3, 4, 5].map((seed) => initialParams(heart.model, seed)),
    );
    const values = draws.flatMap((params) => Object.values(params).flatMap((v) => [...v]));
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
    expect(Math.max(...values)).toBeGreaterThan(0.8 * bound);
    expect(Math.min(...values)).toBeLessThan(-0.8 * bound);
    // The bias too: it is drawn, not zero.
    expect(draws.every((params) => params['logistic/bias'][0] !== 0)).toBe(true);
  });
});
