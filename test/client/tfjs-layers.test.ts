import { layers, regularizers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { initialParams } from '../../client/tfjs/model.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params } from '../../client/types.js';
import type { Task, TrainingConfig } from '../../protocol/model.js';
import { distance, divided, noise, requestOf, taskOf } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
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
    const config = { batchSize: 16, epochs: 15, learningRate: 0.3, momentum: 0.9 };
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
