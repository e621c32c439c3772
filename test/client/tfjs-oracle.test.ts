import { layers, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { initialParams } from '../../client/tfjs/model.js';
import { tfjsOracle } from '../../client/tfjs/oracle.js';
import { flatten, sharedTensors } from '../../client/params.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params } from '../../client/types.js';
import type { Task } from '../../protocol/model.js';
import { divided, noise, requestOf, taskOf } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
});

function mlp(): LayersModel {
  return sequential({
    layers: [
      layers.dense({ units: 6, inputShape: [4], activation: 'tanh' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
}

/** Central differences along some coordinates; the loss is rounded to f32, so the step is large. */
async function expectGradient(
  oracle: Awaited<ReturnType<typeof tfjsOracle>>,
  params: Float32Array,
  batch: number,
): Promise<void> {
  const { grad } = await oracle.lossAndGrad(params, batch);
  const step = 0.02;
  const stride = Math.max(1, Math.floor(params.length / 25));
  for (let i = 0; i < params.length; i += stride) {
    const above = await oracle.lossAndGrad(params.with(i, params[i] + step), batch);
    const below = await oracle.lossAndGrad(params.with(i, params[i] - step), batch);
    const slope = (above.loss - below.loss) / (2 * step);
    expect(Math.abs(grad[i] - slope)).toBeLessThan(2e-4 + 1e-3 * Math.abs(slope));
  }
}

describe('the oracle', () => {
  it('agrees with finite differences', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const oracle = await tfjsOracle({ task, data: divided(20, 4), batchSize: 8 });
    const params = noise(4 * 6 + 6 + 6 * 2 + 2, 'params');
    for (let batch = 0; batch < oracle.batches; batch++)
      await expectGradient(oracle, params, batch);
    oracle.dispose();
  });

  it('agrees with finite differences through convolutions and regression', async () => {
    const model = sequential({
      layers: [
        layers.depthwiseConv2d({ kernelSize: 3, inputShape: [6, 6, 2], activation: 'tanh' }),
        layers.conv2d({ filters: 2, kernelSize: 2, strides: 2, activation: 'tanh' }),
        layers.flatten(),
        layers.dense({ units: 1 }),
      ],
    });
    const task = await taskOf(
      model,
      { shape: [6, 6, 2], labels: { kind: 'value' } },
      { loss: 'meanSquaredError', metrics: [] },
    );
    const data = { features: noise(5 * 72, 'images'), labels: noise(5, 'values'), size: 5 };
    const oracle = await tfjsOracle({ task, data, batchSize: 5 });
    const start = flatten(await initialParams(task.model, 1), task.model.tensors);
    await expectGradient(oracle, start, 0);
    oracle.dispose();
  });

  it('gives the values of FedLAW that the paper code gives', async () => {
    // spec/rules.md, FedLAW, golden 1: W is [out, in] there and [in, out] in TF.js.
    const model = sequential({ layers: [layers.dense({ units: 2, inputShape: [2] })] });
    const task = await taskOf(model, { shape: [2] });
    const features = Float32Array.of(1, 0, 0, 1, 1, 1, -1, 0.5);
    const data = { features, labels: Int32Array.of(0, 1, 0, 1), size: 4 };
    const oracle = await tfjsOracle({ task, data, batchSize: 128 });
    const transposed = ([a, b, c, d, ...bias]: number[]): Float32Array =>
      Float32Array.of(a, c, b, d, ...bias);
    const mixed = transposed([0.9, 0.3, -0.9, -0.3, 0.05, -0.05]);
    const { loss, grad } = await oracle.lossAndGrad(mixed, 0);
    const along = (vector: Float32Array): number =>
      grad.reduce((sum, g, i) => sum + g * vector[i], 0);
    expect(loss).toBeCloseTo(0.3854699878, 6);
    expect(along(mixed)).toBeCloseTo(-0.06151567, 6);
    const clients = [
      [2, -1, -2, 1, 0.5, -0.5],
      [-1, 2, 1, -2, 0, 0],
      [1, 1, -1, -1, -1, 1],
    ];
    const shares = [0.5, 0.3, 0.2];
    const slopes = clients.map((w, i) => shares[i] * (along(transposed(w)) - along(mixed)));
    [-0.26143831, 0.28639341, -0.0249551].forEach((x, i) => expect(slopes[i]).toBeCloseTo(x, 6));
    oracle.dispose();
  });

  it('takes the examples in order, in batches of which the last may be smaller', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const data = divided(20, 4);
    const params = flatten(await initialParams(task.model, 2), task.model.tensors);
    const whole = await tfjsOracle({ task, data, batchSize: 20 });
    const parts = await tfjsOracle({ task, data, batchSize: 8 });
    expect([whole.batches, parts.batches]).toEqual([1, 3]);
    const losses: number[] = [];
    for (const batch of [0, 1, 2]) losses.push((await parts.lossAndGrad(params, batch)).loss);
    const mean = (8 * losses[0] + 8 * losses[1] + 4 * losses[2]) / 20;
    expect((await whole.lossAndGrad(params, 0)).loss).toBeCloseTo(mean, 5);
    expect(new Set(losses).size).toBe(3);
    for (const batch of [3, -1, 0.5])
      await expect(parts.lossAndGrad(params, batch)).rejects.toMatchObject({ code: 'bad_request' });
    whole.dispose();
    parts.dispose();
  });

  it('has the gradient that a plain training step goes down', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const data = divided(16, 4);
    const oracle = await tfjsOracle({ task, data, batchSize: 16 });
    const request = await requestOf(task, { batchSize: 16, learningRate: 1 });
    const { params, metrics } = await tfjsTrainer({ data })(request);
    const before = flatten(request.model, task.model.tensors);
    const after = flatten(params, task.model.tensors);
    const { loss, grad } = await oracle.lossAndGrad(before, 0);
    expect(loss).toBeCloseTo(metrics?.lossBefore ?? NaN, 6);
    grad.forEach((g, i) => expect(before[i] - after[i]).toBeCloseTo(g, 5));
    oracle.dispose();
  });

  it('names what computes', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const oracle = await tfjsOracle({ task, data: divided(4, 4), batchSize: 4, backend: 'wasm' });
    expect(oracle.name).toMatch(/^tfjs-wasm-4\.22\.0/);
    oracle.dispose();
  });

  it('refuses parameters of another length, and answers that are not finite', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const oracle = await tfjsOracle({ task, data: divided(4, 4), batchSize: 4 });
    const wrong = oracle.lossAndGrad(new Float32Array(3), 0);
    await expect(wrong).rejects.toMatchObject({ code: 'bad_model' });
    const broken = oracle.lossAndGrad(new Float32Array(44).fill(NaN), 0);
    await expect(broken).rejects.toMatchObject({ code: 'not_finite' });
    oracle.dispose();
  });

  it('refuses data that breaks the contract', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const data = { ...divided(4, 4), labels: Int32Array.of(0, 1, 2, 0) };
    await expect(tfjsOracle({ task, data, batchSize: 4 })).rejects.toMatchObject({
      code: 'bad_request',
    });
  });

  it('leaves the memory as it was', async () => {
    const task = await taskOf(mlp(), { shape: [4] });
    const params = flatten(await initialParams(task.model, 2), task.model.tensors);
    const before = tf.memory().numTensors;
    const oracle = await tfjsOracle({ task, data: divided(20, 4), batchSize: 8 });
    const open = tf.memory().numTensors;
    for (const batch of [0, 1, 2]) await oracle.lossAndGrad(params, batch);
    expect(tf.memory().numTensors).toBe(open);
    oracle.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('an oracle of a model with buffers', () => {
  const data = divided(12, 3);
  const normalised = (): LayersModel =>
    sequential({
      layers: [
        layers.batchNormalization({ inputShape: [3] }),
        layers.dropout({ rate: 0.5 }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
    });

  async function setUp(): Promise<{ task: Task; params: Float32Array; buffers: Params }> {
    const task = await taskOf(normalised(), { shape: [3] });
    const shared = sharedTensors(task.model.tensors);
    return {
      task,
      params: flatten(await initialParams(task.model, 4), shared),
      buffers: {
        'batch_normalization/moving_mean': Float32Array.of(0.5, -1, 2),
        'batch_normalization/moving_variance': Float32Array.of(0.25, 1, 4),
      },
    };
  }

  it('normalises by them, drops nothing, and leaves them', async () => {
    const { task, params, buffers } = await setUp();
    const oracle = await tfjsOracle({ task, data, batchSize: 12, buffers });
    const first = await oracle.lossAndGrad(params, 0);
    expect(first.grad).toHaveLength(params.length);
    expect(await oracle.lossAndGrad(params, 0)).toEqual(first);
    await expectGradient(oracle, params, 0);
    const others = { ...buffers, 'batch_normalization/moving_mean': new Float32Array(3) };
    oracle.setBuffers(others);
    expect((await oracle.lossAndGrad(params, 0)).loss).not.toBe(first.loss);
    oracle.dispose();
  });

  it('asks for them', async () => {
    const { task, params } = await setUp();
    const oracle = await tfjsOracle({ task, data, batchSize: 12 });
    await expect(oracle.lossAndGrad(params, 0)).rejects.toMatchObject({
      code: 'bad_model',
      message: expect.stringContaining('moving_mean') as string,
    });
    oracle.dispose();
  });
});
