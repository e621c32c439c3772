import { layers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { randomStream, shuffle } from '../../client/tfjs/random.js';
import { tfjsEvaluator, tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params, Progress } from '../../client/types.js';
import type { TrainingConfig } from '../../protocol/model.js';
import { bitsOf, distance, divided, requestOf, taskOf } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
});

const logistic = (activation: 'sigmoid' | 'linear' = 'sigmoid'): LayersModel =>
  sequential({ layers: [layers.dense({ units: 1, inputShape: [3], activation })] });

function mlp(): LayersModel {
  return sequential({
    layers: [
      layers.dense({ units: 5, inputShape: [4], activation: 'tanh' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
}

/** Logistic regression by SGD, in f64 and by hand: the trainer's algorithm, written a second time. */
function trainByHand(
  start: { weights: number[]; bias: number },
  data: Dataset,
  config: TrainingConfig,
  more: { round: number; seed: number },
): { weights: number[]; bias: number; lossBefore: number; loss: number } {
  const rate = config.learningRate * config.learningRateDecay ** (more.round - 1);
  const begin = [...start.weights, start.bias];
  const now = [...begin];
  const velocity = now.map(() => 0);
  const inputs = (row: number): number[] => [...data.features.subarray(row * 3, row * 3 + 3), 1];
  const probability = (row: number): number => {
    const z = inputs(row).reduce((sum, value, i) => sum + value * now[i], 0);
    return 1 / (1 + Math.exp(-z));
  };
  const meanLoss = (rows: number[]): number => {
    const losses = rows.map((row) => {
      const p = probability(row);
      return -Math.log(data.labels[row] === 1 ? p : 1 - p);
    });
    return losses.reduce((a, b) => a + b, 0) / rows.length;
  };
  const lossBefore = meanLoss([...data.labels.keys()]);
  const order = Int32Array.from(data.labels.keys());
  const random = randomStream(more.seed, 'shuffle');
  let loss = 0;
  for (let epoch = 0; epoch < config.epochs; epoch++) {
    shuffle(order, random);
    loss = 0;
    for (let begins = 0; begins < data.size; begins += config.batchSize) {
      const rows = [...order.subarray(begins, begins + config.batchSize)];
      loss += (meanLoss(rows) * rows.length) / data.size;
      const gradient = now.map((_, i) => {
        const terms = rows.map((row) => (probability(row) - data.labels[row]) * inputs(row)[i]);
        return terms.reduce((a, b) => a + b, 0) / rows.length;
      });
      now.forEach((_, i) => {
        const pulled = gradient[i] + config.proximalMu * (now[i] - begin[i]);
        velocity[i] = config.momentum * velocity[i] + pulled;
      });
      now.forEach((_, i) => (now[i] -= rate * velocity[i]));
    }
  }
  return { weights: now.slice(0, 3), bias: now[3], lossBefore, loss };
}

describe('training a logistic regression', () => {
  const data = divided(10, 3);
  const start = { weights: [0.3, -0.2, 0.1], bias: 0.05 };
  const received: Params = {
    'dense/kernel': Float32Array.from(start.weights),
    'dense/bias': Float32Array.of(start.bias),
  };

  it.each<[string, Partial<TrainingConfig>]>([
    ['plain, one whole batch', { batchSize: 10 }],
    ['with a last batch of two', { batchSize: 4 }],
    ['with a batch larger than the data', { batchSize: 64 }],
    ['with momentum', { batchSize: 4, momentum: 0.9, epochs: 3 }],
    ['with the proximal term', { batchSize: 4, proximalMu: 0.7, epochs: 3 }],
    [
      'with all of it, in a later round',
      { batchSize: 3, momentum: 0.8, proximalMu: 0.4, epochs: 4, learningRateDecay: 0.9 },
    ],
  ])('agrees with one by hand: %s', async (_, options) => {
    const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
    const more = { round: 3, seed: 77 };
    const request = await requestOf(
      task,
      { learningRate: 0.5, ...options },
      { ...more, model: received },
    );
    const result = await tfjsTrainer({ data })(request);
    const expected = trainByHand(start, data, request.config, more);
    expected.weights.forEach((weight, i) =>
      expect(result.params['dense/kernel'][i]).toBeCloseTo(weight, 5),
    );
    expect(result.params['dense/bias'][0]).toBeCloseTo(expected.bias, 5);
    expect(result.metrics?.lossBefore).toBeCloseTo(expected.lossBefore, 5);
    expect(result.metrics?.loss).toBeCloseTo(expected.loss, 5);
    const { batchSize, epochs, learningRate, learningRateDecay } = request.config;
    expect(result.numSteps).toBe(epochs * Math.ceil(10 / batchSize));
    expect(result.metrics?.learningRate).toBeCloseTo(learningRate * learningRateDecay ** 2, 12);
    expect(result.numExamples).toBe(10);
  });

  it('starts with the right gradient from zeros, where |z| has no derivative', async () => {
    const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
    const zeros = { weights: [0, 0, 0], bias: 0 };
    const model = { 'dense/kernel': new Float32Array(3), 'dense/bias': new Float32Array(1) };
    const request = await requestOf(task, { batchSize: 10, learningRate: 1 }, { model });
    const { params } = await tfjsTrainer({ data })(request);
    const expected = trainByHand(zeros, data, request.config, { round: 1, seed: 5 });
    expect(params['dense/bias'][0]).toBeCloseTo(expected.bias, 6);
  });

  it('is the same with a linear output, which are logits', async () => {
    const results: Params[] = [];
    for (const activation of ['sigmoid', 'linear'] as const) {
      const task = await taskOf(
        logistic(activation),
        { shape: [3] },
        { loss: 'binaryCrossentropy' },
      );
      const request = await requestOf(task, { batchSize: 4 }, { model: received });
      results.push((await tfjsTrainer({ data })(request)).params);
    }
    expect(bitsOf(results[1])).toEqual(bitsOf(results[0]));
  });

  it('does not write to the received model', async () => {
    const task = await taskOf(logistic(), { shape: [3] }, { loss: 'binaryCrossentropy' });
    const model = { ...received, 'dense/bias': Float32Array.of(0.05) };
    await tfjsTrainer({ data })(await requestOf(task, {}, { model }));
    expect(model['dense/bias'][0]).toBe(Math.fround(0.05));
  });
});

describe('batches', () => {
  it('depend on the seed, and on nothing else', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const train = tfjsTrainer({ data: divided(30, 4) });
    const config = { batchSize: 4, epochs: 2, momentum: 0.9 };
    const bits = async (seed: number): Promise<Record<string, string>> =>
      bitsOf((await train(await requestOf(task, config, { seed }))).params);
    const first = await bits(1);
    expect(await bits(1)).toEqual(first);
    expect(await bits(2)).not.toEqual(first);
  });

  it('are drawn anew in every epoch: each example once an epoch', () => {
    const random = randomStream(3, 'shuffle');
    const order = Int32Array.from({ length: 50 }, (_, i) => i);
    const epochs = [0, 1].map(() => [...shuffle(order, random)]);
    expect(epochs[1]).not.toEqual(epochs[0]);
    for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual([...order.keys()]);
  });

  it('may be seeded by any whole number', () => {
    const firsts = [0, 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].map((seed) =>
      randomStream(seed, 'x')(),
    );
    expect(new Set(firsts).size).toBe(firsts.length);
    const mean =
      Array.from({ length: 4000 }, randomStream(8, 'mean')).reduce((a, b) => a + b) / 4000;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.02);
  });
});

describe('updates of single batches', () => {
  const data = divided(22, 4);
  const config = { batchSize: 8, learningRate: 0.3, momentum: 0.5 };

  async function train(
    epochs: number,
    more: Partial<TrainingConfig> = {},
  ): Promise<{ model: Params; params: Params; vectors: Readonly<Record<string, Params>> }> {
    const task = await taskOf(mlp(), { shape: [4] });
    const request = await requestOf(task, { ...config, ...more, epochs }, { vectors: ['batch'] });
    const { params, vectors = {} } = await tfjsTrainer({ data })(request);
    return { model: request.model, params, vectors };
  }

  it.each([1, 3])('add up to the whole update over %i epochs', async (epochs) => {
    const { model, params, vectors } = await train(epochs);
    expect(Object.keys(vectors)).toEqual(['batch.0', 'batch.1', 'batch.2']);
    for (const [name, values] of Object.entries(params))
      values.forEach((value, i) => {
        const sum = Object.values(vectors).reduce((total, vector) => total + vector[name][i], 0);
        expect(epochs * sum).toBeCloseTo(value - model[name][i], 6);
      });
  });

  it('average the same batches over the epochs', async () => {
    // A step so small that the model hardly moves: the same batch makes the same step again.
    const small = { learningRate: 1e-3, momentum: 0 };
    const [once, thrice] = [await train(1, small), await train(3, small)];
    const scale = distance(once.vectors['batch.0'], once.vectors['batch.1']);
    for (const [name, vector] of Object.entries(once.vectors))
      expect(distance(vector, thrice.vectors[name])).toBeLessThan(0.02 * scale);
  });

  it('are of the shared tensors only', async () => {
    const normalised = sequential({
      layers: [layers.batchNormalization({ inputShape: [4] }), layers.dense({ units: 2 })],
    });
    const task = await taskOf(normalised, { shape: [4] });
    const request = await requestOf(task, { batchSize: 11 }, { vectors: ['batch'] });
    const { vectors = {} } = await tfjsTrainer({ data })(request);
    const shared = task.model.tensors.filter(({ role }) => role === 'shared');
    expect(shared.length).toBeLessThan(task.model.tensors.length);
    expect(Object.keys(vectors['batch.1'])).toEqual(shared.map(({ name }) => name));
  });

  it('are not made unless they are asked for', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const result = await tfjsTrainer({ data })(await requestOf(task, {}));
    expect(result.vectors).toBeUndefined();
  });

  it('are all that it can make', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const request = await requestOf(task, {}, { vectors: ['batch', 'hessian'] });
    await expect(tfjsTrainer({ data })(request)).rejects.toMatchObject({ code: 'missing_vector' });
  });
});

describe('stopping', () => {
  const data = divided(64, 4);

  it('is at once where the round is over already', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const reason = new Error('the round closed');
    const request = await requestOf(task, {}, { signal: AbortSignal.abort(reason) });
    await expect(tfjsTrainer({ data })(request)).rejects.toBe(reason);
  });

  it('comes through in the middle of training, which gives the event loop its turns', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const controller = new AbortController();
    const reason = new Error('the round closed');
    const reports: Progress[] = [];
    const request = await requestOf(
      task,
      { epochs: 1_000_000, batchSize: 8 },
      { signal: controller.signal, progress: (report) => reports.push(report) },
    );
    const before = tf.memory().numTensors;
    const training = tfjsTrainer({ data })(request);
    // Only when the trainer lets go of the thread can this run.
    setImmediate(() => setImmediate(() => controller.abort(reason)));
    await expect(training).rejects.toBe(reason);
    expect(tf.memory().numTensors).toBe(before);
    for (const { fraction } of reports) expect(fraction).toBeLessThan(1);
  });

  it('reports progress that ends at one', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const fractions: number[] = [];
    const progress = ({ fraction }: Progress): unknown => fractions.push(fraction);
    const request = await requestOf(task, { epochs: 30, batchSize: 4 }, { progress });
    await tfjsTrainer({ data })(request);
    expect(fractions.at(-1)).toBe(1);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  });
});

describe('memory', () => {
  it('is as it was after training and evaluation', async () => {
    const data = divided(20, 4);
    const task = await taskOf(mlp(), { shape: [4] });
    const config = { epochs: 2, batchSize: 8, momentum: 0.9, proximalMu: 0.1 };
    const request = await requestOf(task, config, { vectors: ['batch'] });
    const work = async (): Promise<number[]> => {
      await tfjsTrainer({ data })(request);
      await tfjsEvaluator({ data })({
        task,
        model: request.model,
        round: 1,
        signal: request.signal,
      });
      return [tf.memory().numTensors, tf.memory().numBytes, tf.backend().numDataIds()];
    };
    const first = await work();
    expect(await work()).toEqual(first);
  });

  it('is as it was after training that failed', async () => {
    const data = divided(20, 4);
    const task = await taskOf(mlp(), { shape: [4] });
    const before = tf.memory().numTensors;
    const request = await requestOf(task, { epochs: 3, learningRate: 1e38, momentum: 0.9 });
    await expect(tfjsTrainer({ data })(request)).rejects.toMatchObject({ code: 'not_finite' });
    expect(tf.memory().numTensors).toBe(before);
  });
});
