import { layers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { subset } from '../../client/tfjs/dataset.js';

import { buildModel, initialParams, setParams } from '../../client/tfjs/model.js';
import { tfjsEvaluator, tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Task } from '../../protocol/model.js';
import { bitsOf, divided, requestOf, taskOf } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
});

function mlp(): LayersModel {
  return sequential({
    layers: [
      layers.dense({ units: 5, inputShape: [4], activation: 'tanh' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
}

describe('evaluation', () => {
  it('sums the loss and the metrics over the examples, however many there are', async () => {
    const data = divided(700, 4);
    const task = await taskOf(mlp(), { shape: [4] });
    const model = await initialParams(task.model, 3);
    const report = await tfjsEvaluator({ data })({
      ...{ task, model, round: 1 },
      signal: new AbortController().signal,
    });
    const built = await buildModel(task.model);
    setParams(built, task.model, model);
    const probabilities = tf.tidy(() => {
      const input = tf.tensor(data.features, [700, 4]);
      return (built.predict(input) as tf.Tensor2D).arraySync();
    });
    const right = probabilities.filter(([a, b], row) => Number(b > a) === data.labels[row]).length;
    const loss = probabilities.reduce((sum, p, row) => sum - Math.log(p[data.labels[row]]), 0);
    expect(report.numExamples).toBe(700);
    expect(report.sums.accuracy).toBe(right);
    expect(report.sums.loss).toBeCloseTo(loss, 2);
  });

  it('knows the error of a regression, after its own activation', async () => {
    const task = await taskOf(
      sequential({ layers: [layers.dense({ units: 1, inputShape: [1], activation: 'relu' })] }),
      { shape: [1], labels: { kind: 'value' } },
      { loss: 'meanSquaredError', metrics: ['meanAbsoluteError'] },
    );
    const model = { 'dense/kernel': Float32Array.of(2), 'dense/bias': Float32Array.of(0) };
    const data = { features: Float32Array.of(1, -3), labels: Float32Array.of(2.5, 1), size: 2 };
    const report = await tfjsEvaluator({ data })({
      ...{ task, model, round: 1 },
      signal: new AbortController().signal,
    });
    expect(report).toEqual({ numExamples: 2, sums: { loss: 1.25, meanAbsoluteError: 1.5 } });
  });

  it('is exact where probabilities would be 0 and 1', async () => {
    const task = await taskOf(
      sequential({ layers: [layers.dense({ units: 2, inputShape: [1], activation: 'softmax' })] }),
      { shape: [1] },
    );
    const model = { 'dense/kernel': Float32Array.of(-200, 200), 'dense/bias': new Float32Array(2) };
    const data = { features: Float32Array.of(1), labels: Int32Array.of(0), size: 1 };
    const signal = new AbortController().signal;
    const report = await tfjsEvaluator({ data })({ task, model, round: 1, signal });
    expect(report.sums).toEqual({ loss: 400, accuracy: 0 });
  });

  it('refuses a model that is not finite', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const model = {
      ...(await initialParams(task.model, 1)),
      'dense/bias': new Float32Array(5).fill(NaN),
    };
    const signal = new AbortController().signal;
    await expect(
      tfjsEvaluator({ data: divided(4, 4) })({ task, model, round: 1, signal }),
    ).rejects.toMatchObject({ code: 'not_finite' });
  });
});

describe('a task that does not fit', () => {
  const data = divided(8, 4);
  const dense = (
    units: number,
    activation: 'softmax' | 'relu' | 'sigmoid' = 'softmax',
  ): LayersModel => sequential({ layers: [layers.dense({ units, inputShape: [4], activation })] });

  it.each<[string, () => Promise<Task>, RegExp]>([
    ['an unknown metric', () => taskOf(dense(2), { shape: [4] }, { metrics: ['bleu'] }), /"bleu"/],
    [
      'a metric of other labels',
      () =>
        taskOf(dense(1), { shape: [4], labels: { kind: 'value' } }, { loss: 'meanSquaredError' }),
      /accuracy/,
    ],
    [
      'a loss of other labels',
      () => taskOf(dense(2), { shape: [4], labels: { kind: 'value' } }, { metrics: [] }),
      /categorical/,
    ],
    ['outputs of another number', () => taskOf(dense(3), { shape: [4] }), /\[3\].*\[2\]/],
    ['an output that is no probability', () => taskOf(dense(2, 'relu'), { shape: [4] }), /relu/],
    ['probabilities of another kind', () => taskOf(dense(2, 'sigmoid'), { shape: [4] }), /softmax/],
    ['inputs of another shape', () => taskOf(dense(2), { shape: [2, 2] }), /\[4\].*\[2, 2\]/],
  ])('is refused: %s', async (_, make, message) => {
    const task = await make();
    const before = tf.memory().numTensors;
    const request = await requestOf(task, {}, { model: {} });
    const training = tfjsTrainer({ data: { ...data, labels: new Float32Array(8) } })(request);
    await expect(training).rejects.toMatchObject({
      code: 'bad_model',
      message: expect.stringMatching(message) as string,
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is refused for data that breaks its contract', async () => {
    const task = await taskOf(dense(2), { shape: [4] });
    const wrong = { ...data, labels: data.labels.map(() => 2) };
    await expect(tfjsTrainer({ data: wrong })(await requestOf(task, {}))).rejects.toMatchObject({
      code: 'bad_request',
    });
  });
});

describe('where model and data come from', () => {
  it('the data may be fetched once the contract is known, and is fetched once', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    let fetched = 0;
    const train = tfjsTrainer({
      data: ({ features }) => {
        fetched++;
        return Promise.resolve(divided(12, features.shape[0]));
      },
    });
    for (const round of [1, 2]) await train(await requestOf(task, {}, { round }));
    expect(fetched).toBe(1);
  });

  it('layers of the caller serve an opaque task', async () => {
    const data = divided(12, 4);
    const known = await taskOf(mlp(), { shape: [4] });
    const renamed = known.model.tensors.map((tensor, i) => ({ ...tensor, name: `w${i}` }));
    const opaque: Task = { ...known, model: { format: 'opaque', body: null, tensors: renamed } };
    const start = await initialParams(known.model, 1);
    const model = Object.fromEntries(Object.values(start).map((values, i) => [`w${i}`, values]));
    const layered = mlp();
    const weights = (): unknown[] => layered.getWeights().map((weight) => weight.arraySync());
    const untouched = weights();
    const trained = await tfjsTrainer({ data, model: layered })(
      await requestOf(opaque, {}, { model }),
    );
    const reference = await tfjsTrainer({ data })(await requestOf(known, {}, { model: start }));
    expect(Object.values(bitsOf(trained.params))).toEqual(Object.values(bitsOf(reference.params)));
    expect(weights()).toEqual(untouched);
    await expect(
      tfjsTrainer({ data })(await requestOf(opaque, {}, { model })),
    ).rejects.toMatchObject({
      code: 'bad_model',
    });
  });

  it('subsets make the shares of several clients', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const share = subset(divided(12, 4), [0, 3, 5]);
    const { numExamples } = await tfjsTrainer({ data: share })(await requestOf(task, {}));
    expect(numExamples).toBe(3);
  });
});
