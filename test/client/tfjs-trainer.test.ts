import { layers, regularizers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { subset } from '../../client/tfjs/dataset.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { buildModel, initialParams, setParams } from '../../client/tfjs/model.js';
import { randomStream, shuffle } from '../../client/tfjs/random.js';
import { tfjsEvaluator, tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params, Progress } from '../../client/types.js';
import type { Task, TrainingConfig } from '../../protocol/model.js';
import { bitsOf, distance, divided, noise, requestOf, taskOf } from './support/tfjs.js';

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
    const request = await requestOf(task, {}, { vectors: ['batch', 'fisher'] });
    await expect(tfjsTrainer({ data })(request)).rejects.toMatchObject({ code: 'missing_vector' });
  });
});

describe('layers beyond dense ones', () => {
  async function losses(
    model: LayersModel,
    data: Dataset,
    shape: number[],
    config: Partial<TrainingConfig>,
  ): Promise<{ before: number; after: number; task: Task; params: Params }> {
    const classes = Math.max(...data.labels) + 1;
    const task = await taskOf(model, { shape, labels: { kind: 'class', classes } });
    const { metrics, params } = await tfjsTrainer({ data })(await requestOf(task, config));
    return { before: metrics?.lossBefore ?? NaN, after: metrics?.loss ?? NaN, task, params };
  }

  it('a LeNet learns which quarter of the image is bright', async () => {
    const size = 160;
    const features = noise(size * 784, 'images');
    const labels = Int32Array.from({ length: size }, (_, row) => row % 4);
    labels.forEach((label, row) => {
      const corner = row * 784 + (label >> 1) * 14 * 28 + (label & 1) * 14;
      for (let r = 0; r < 14; r++) for (let c = 0; c < 14; c++) features[corner + r * 28 + c] += 1;
    });
    const leNet = sequential({
      layers: [
        layers.conv2d({
          filters: 6,
          kernelSize: 5,
          padding: 'same',
          activation: 'relu',
          inputShape: [28, 28, 1],
        }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.conv2d({ filters: 16, kernelSize: 5, activation: 'relu' }),
        layers.averagePooling2d({ poolSize: 2 }),
        layers.flatten(),
        layers.dense({ units: 84, activation: 'relu' }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ],
    });
    const config = { batchSize: 32, epochs: 4, learningRate: 0.05, momentum: 0.9 };
    const { before, after } = await losses(leNet, { features, labels, size }, [28, 28, 1], config);
    expect(before).toBeGreaterThan(1);
    expect(after).toBeLessThan(0.3);
  });

  it('an embedding under an LSTM learns which words matter', async () => {
    const size = 96;
    const features = Float32Array.from(noise(size * 6, 'words'), (v) => Math.floor((v + 0.5) * 20));
    const labels = Int32Array.from({ length: size }, (_, row) =>
      features.subarray(row * 6, row * 6 + 6).includes(7) ? 1 : 0,
    );
    const model = sequential({
      layers: [
        layers.embedding({ inputDim: 20, outputDim: 8, inputLength: 6 }),
        layers.lstm({ units: 8 }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
    });
    const config = { batchSize: 16, epochs: 25, learningRate: 0.3, momentum: 0.9 };
    const { before, after } = await losses(model, { features, labels, size }, [6], config);
    expect(before).toBeGreaterThan(0.5);
    expect(after).toBeLessThan(0.2);
  });

  it('batch norm keeps moving statistics, and travels with them', async () => {
    const model = sequential({
      layers: [
        layers.batchNormalization({ inputShape: [4], momentum: 0.5 }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
    });
    const data = divided(40, 4);
    data.features.forEach((value, i) => (data.features[i] = value + 3));
    const { params } = await losses(model, data, [4], { batchSize: 40, epochs: 1 });
    const means = [0, 1, 2, 3].map(
      (i) => data.features.filter((_, at) => at % 4 === i).reduce((a, b) => a + b, 0) / 40,
    );
    means.forEach((mean, i) =>
      expect(params['batch_normalization/moving_mean'][i]).toBeCloseTo(0.5 * mean, 4),
    );
  });

  it('a frozen batch norm keeps everything, and is computed as at inference', async () => {
    const model = sequential({
      layers: [
        layers.batchNormalization({ inputShape: [4], trainable: false }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
    });
    const data = divided(40, 4);
    const config = { batchSize: 40, epochs: 1, learningRate: 1e-6 };
    const { before, after, params, task } = await losses(model, data, [4], config);
    // One whole batch, so the training loss is the loss before, unless batch statistics were used.
    expect(after).toBeCloseTo(before, 6);
    const start = await initialParams(task.model, 1);
    for (const { name } of task.model.tensors.filter(({ role }) => role === 'frozen'))
      expect(params[name]).toEqual(start[name]);
    expect(distance(params, start)).toBeGreaterThan(0);
  });

  it('dropout drops by the seed, other units in every step, and gives Math.random back', async () => {
    const original = Math.random;
    // With a rate of 0.5 of one weight a feature: what was dropped has no gradient.
    const model = sequential({
      layers: [
        layers.dropout({ rate: 0.5, seed: 3, inputShape: [8] }),
        layers.dense({ units: 2, useBias: false, kernelInitializer: 'zeros' }),
      ],
    });
    const data: Dataset = {
      features: new Float32Array(16).fill(1),
      labels: Int32Array.of(0, 0),
      size: 2,
    };
    const task = await taskOf(model, { shape: [8] });
    const train = async (seed: number): Promise<Readonly<Record<string, Params>>> => {
      const config = { batchSize: 1, learningRate: 1e-3 };
      const request = await requestOf(task, config, { seed, vectors: ['batch'] });
      return (await tfjsTrainer({ data })(request)).vectors ?? {};
    };
    const dropped = (vector: Params): string =>
      [...vector['dense/kernel']].map((value) => (value === 0 ? '-' : 'x')).join('');
    const first = await train(1);
    expect(await train(1)).toEqual(first);
    expect(dropped(first['batch.0'])).not.toBe(dropped(first['batch.1']));
    const patterns = new Set<string>();
    for (const seed of [1, 2, 3, 4]) patterns.add(dropped((await train(seed))['batch.0']));
    expect(patterns.size).toBeGreaterThan(1);
    expect(Math.random).toBe(original);
  });

  it('regularisers pull, and are no part of the loss that is reported', async () => {
    const decayed = (l2: number): LayersModel =>
      sequential({
        layers: [
          layers.dense({ units: 2, inputShape: [4], kernelRegularizer: regularizers.l2({ l2 }) }),
        ],
      });
    const norm = (params: Params): number =>
      params['dense/kernel'].reduce((sum, value) => sum + value * value, 0);
    const config = { epochs: 5, batchSize: 20, learningRate: 0.1 };
    const data = divided(20, 4);
    const [free, pulled] = [
      await losses(decayed(0), data, [4], config),
      await losses(decayed(1), data, [4], config),
    ];
    expect(norm(pulled.params)).toBeLessThan(0.5 * norm(free.params));
    expect(pulled.before).toBe(free.before);
    expect(pulled.after).toBeLessThan(1);
  });

  it('constraints hold after every step', async () => {
    const model = sequential({
      layers: [
        layers.dense({ units: 2, inputShape: [4], useBias: false, kernelConstraint: 'nonNeg' }),
      ],
    });
    const { params } = await losses(model, divided(40, 4), [4], { epochs: 5, learningRate: 0.5 });
    expect(Math.min(...params['dense/kernel'])).toBe(0);
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
      return [
        tf.memory().numTensors,
        tf.memory().numBytes,
        (tf.backend() as BackendWasm).numDataIds(),
      ];
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
