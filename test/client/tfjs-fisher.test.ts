import { layers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params, TrainResult } from '../../client/types.js';
import { bitsOf, divided, noise, requestOf, taskOf } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
});

const logistic = (): LayersModel =>
  sequential({ layers: [layers.dense({ units: 1, inputShape: [3], activation: 'sigmoid' })] });

/** At the trained parameters: the rate is too small for one step to move a float32. */
const STILL = { epochs: 1, batchSize: 64, learningRate: 1e-30 };
const model: Params = {
  'dense/kernel': Float32Array.of(0.5, -1, 2),
  'dense/bias': Float32Array.of(0.25),
};

async function information(
  data: Dataset,
  more: { seed?: number; fisherExamples?: number } = {},
): Promise<TrainResult> {
  const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
  const { seed = 5, fisherExamples } = more;
  const request = await requestOf(task, STILL, { vectors: ['fisher'], model, seed });
  return tfjsTrainer({ data, ...(fisherExamples !== undefined && { fisherExamples }) })(request);
}

/** The mean of ((p - y) x)^2, x with a 1 for the bias: the derivative of log p(y | x), squared. */
function byHand(data: Dataset, rows: readonly number[]): number[] {
  const sums = [0, 0, 0, 0];
  for (const row of rows) {
    const x = [...data.features.subarray(3 * row, 3 * row + 3), 1];
    const z = 0.5 * x[0] - x[1] + 2 * x[2] + 0.25;
    const error = 1 / (1 + Math.exp(-z)) - data.labels[row];
    x.forEach((value, e) => (sums[e] += (error * value) ** 2 / rows.length));
  }
  return sums;
}

describe('Fisher information', () => {
  const data = divided(40, 3);

  it('of a logistic regression is the mean of ((p - y) x)^2', async () => {
    const { vectors, params } = await information(data);
    expect(bitsOf(params)).toEqual(bitsOf(model));
    const { fisher } = vectors!;
    const found = [...fisher['dense/kernel'], ...fisher['dense/bias']];
    byHand(data, [...data.labels.keys()]).forEach((value, e) =>
      expect(found[e]).toBeCloseTo(value, 6),
    );
  });

  it.each([0, -1, 1.5, NaN])('of %d examples is refused before anything is trained', (count) => {
    expect(() => tfjsTrainer({ data, fisherExamples: count })).toThrow(
      expect.objectContaining({
        code: 'bad_request',
        message: `fisherExamples: ${count} is no whole number of 1 or more`,
      }),
    );
  });

  it('is taken at the trained parameters, not at those received', async () => {
    const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
    const config = { epochs: 3, batchSize: 8, learningRate: 0.5 };
    const request = await requestOf(task, config, { vectors: ['fisher'], model });
    const trained = await tfjsTrainer({ data })(request);
    const again = await requestOf(task, STILL, { vectors: ['fisher'], model: trained.params });
    const { vectors } = await tfjsTrainer({ data })(again);
    expect(bitsOf(trained.vectors!.fisher)).toEqual(bitsOf(vectors!.fisher));
  });

  it('of many examples is measured on a seeded draw of them', async () => {
    const one = await information(data, { fisherExamples: 1 });
    const found = [...one.vectors!.fisher['dense/kernel'], ...one.vectors!.fisher['dense/bias']];
    const near = (row: number): boolean =>
      byHand(data, [row]).every((value, e) => Math.abs(value - found[e]) < 1e-6);
    expect([...data.labels.keys()].filter(near)).toHaveLength(1);
    const same = await information(data, { fisherExamples: 1 });
    expect(bitsOf(same.vectors!.fisher)).toEqual(bitsOf(one.vectors!.fisher));
    const other = await information(data, { fisherExamples: 1, seed: 6 });
    expect(bitsOf(other.vectors!.fisher)).not.toEqual(bitsOf(one.vectors!.fisher));
  });

  it('of a squared error is that of a Gaussian of variance 1: the mean of ((f - y) x)^2', async () => {
    const line = sequential({ layers: [layers.dense({ units: 1, inputShape: [2] })] });
    const labels = { kind: 'value' } as const;
    const more = { loss: 'meanSquaredError', metrics: ['meanAbsoluteError'] } as const;
    const task = await taskOf(
      line,
      { shape: [2], labels },
      { ...more, metrics: [...more.metrics] },
    );
    const values: Dataset = { features: noise(20, 'x'), labels: noise(10, 'y'), size: 10 };
    const received = { 'dense/kernel': Float32Array.of(1, -2), 'dense/bias': Float32Array.of(0.5) };
    const request = await requestOf(task, STILL, { vectors: ['fisher'], model: received });
    const { vectors } = await tfjsTrainer({ data: values })(request);
    const sums = [0, 0, 0];
    for (let row = 0; row < 10; row++) {
      const x = [values.features[2 * row], values.features[2 * row + 1], 1];
      const error = x[0] - 2 * x[1] + 0.5 - values.labels[row];
      x.forEach((value, e) => (sums[e] += (error * value) ** 2 / 10));
    }
    const { fisher } = vectors!;
    [...fisher['dense/kernel'], ...fisher['dense/bias']].forEach((value, e) =>
      expect(value).toBeCloseTo(sums[e], 5),
    );
  });

  it('does not change what is trained, and is not made unless it is asked for', async () => {
    const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
    const config = { epochs: 2, batchSize: 8, learningRate: 0.5 };
    const asked = await requestOf(task, config, { vectors: ['fisher'], model });
    const plain = await requestOf(task, config, { model });
    const [one, other] = [await tfjsTrainer({ data })(asked), await tfjsTrainer({ data })(plain)];
    expect(bitsOf(one.params)).toEqual(bitsOf(other.params));
    expect(other.vectors).toBeUndefined();
  });
});
