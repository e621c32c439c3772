import { layers, sequential } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { modelSpecOf } from '../../client/tfjs/model.js';
import type { ModelSpec } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { runSpec } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { tfjsOracles } from '../../server/adapters/tfjs-oracle.js';
import type { Run } from '../../server/core/records.js';
import type { TestBlobs } from './support/memory-blobs.js';
import { testBlobs } from './support/memory-blobs.js';

/** Softmax regression from 2 features to 3 classes. */
const examples = [
  { x: [1, -2], y: 0 },
  { x: [0.5, 1], y: 2 },
  { x: [-1, 0.25], y: 1 },
];
const kernel = [0.3, -0.1, 0.2, -0.4, 0.5, 0.1];
const bias = [0.05, -0.2, 0.1];

/** Mean cross-entropy and its gradient, kernel before bias, written out. */
function byHand(chosen: typeof examples): { loss: number; grad: number[] } {
  const grad = Array.from({ length: 9 }, () => 0);
  let loss = 0;
  for (const { x, y } of chosen) {
    const logits = bias.map((b, k) => b + x[0] * kernel[k] + x[1] * kernel[3 + k]);
    const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
    loss += (Math.log(total) - logits[y]) / chosen.length;
    logits.forEach((z, k) => {
      const error = (Math.exp(z) / total - Number(k === y)) / chosen.length;
      grad[k] += error * x[0];
      grad[3 + k] += error * x[1];
      grad[6 + k] += error;
    });
  }
  return { loss, grad };
}

let model: ModelSpec;
let blobs: TestBlobs;
beforeAll(async () => {
  await prepareBackend('wasm');
  const dense = layers.dense({ inputShape: [2], units: 3, activation: 'softmax', name: 'out' });
  const built = sequential({ layers: [dense] });
  model = await modelSpecOf(built);
  built.dispose();
});
beforeEach(() => {
  blobs = testBlobs();
});

function proxyFile(y = examples.map((example) => example.y)): Uint8Array {
  return encodeSafetensors({
    x: { shape: [examples.length, 2], data: Float32Array.from(examples.flatMap(({ x }) => x)) },
    y: { shape: [y.length], data: Int32Array.from(y) },
  });
}

function runOf(data: string, changes: Partial<RunSpecInput> = {}, batchSize = 3): Run {
  const contract = { features: { shape: [2] }, labels: { kind: 'class' as const, classes: 3 } };
  const spec = runSpec.parse({
    name: 'run',
    task: { name: 'tiny', model, data: contract },
    rule: { name: 'fedlaw' },
    rounds: 1,
    init: { blob: '0'.repeat(64) },
    oracle: { kind: 'proxy', data, batchSize },
    ...changes,
  });
  const fold = { cohortMax: 1, weightMax: 1, deltaMax: 1, termBits: 1, weightBits: 1 };
  return { id: 'run', spec, status: 'running', reason: null, fold, oracle: null, createdAt: 0 };
}

const oracles = () => tfjsOracles(blobs, 'wasm');
const params = Float32Array.from([...kernel, ...bias]);

describe('the proxy oracle', () => {
  it('says which backend computes, for the record of the run', async () => {
    expect(await oracles().describe(runOf('a'.repeat(64)))).toMatch(/^tfjs-wasm-4\.\d+\.\d+/);
  });

  it('answers the loss and the gradient as computed by hand', async () => {
    const run = runOf(await blobs.put(proxyFile()));
    await oracles().check(run);
    const oracle = await oracles().open(run, {});
    expect(oracle.batches).toBe(1);
    const { loss, grad } = await oracle.lossAndGrad(params, 0);
    const expected = byHand(examples);
    expect(loss).toBeCloseTo(expected.loss, 6);
    expected.grad.forEach((value, i) => expect(grad[i]).toBeCloseTo(value, 6));
    await oracle.close();
  });

  it('takes the examples in batches, in their order, the last as small as it comes', async () => {
    const run = runOf(await blobs.put(proxyFile()), {}, 2);
    const oracle = await oracles().open(run, {});
    expect(oracle.batches).toBe(2);
    for (const [batch, chosen] of [examples.slice(0, 2), examples.slice(2)].entries()) {
      const { loss } = await oracle.lossAndGrad(params, batch);
      expect(loss).toBeCloseTo(byHand(chosen).loss, 6);
    }
    await oracle.close();
  });

  it('answers the same bits to the same question, whatever was asked before', async () => {
    const oracle = await oracles().open(runOf(await blobs.put(proxyFile())), {});
    const first = await oracle.lossAndGrad(params, 0);
    await oracle.lossAndGrad(
      params.map((value) => value * 3),
      0,
    );
    expect(await oracle.lossAndGrad(params, 0)).toEqual(first);
    await oracle.close();
  });

  it('leaves nothing behind when it is closed', async () => {
    const run = runOf(await blobs.put(proxyFile()));
    const before = tf.memory().numTensors;
    await oracles().check(run);
    const oracle = await oracles().open(run, {});
    await oracle.lossAndGrad(params, 0);
    await oracle.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('normalises by the statistics that it was opened with', async () => {
    const built = sequential({
      layers: [
        layers.batchNormalization({ inputShape: [2], name: 'norm', epsilon: 0 }),
        layers.dense({ units: 3, activation: 'softmax', name: 'out' }),
      ],
    });
    const normed = await modelSpecOf(built);
    built.dispose();
    const { spec } = runOf(await blobs.put(proxyFile()));
    const run = {
      ...runOf('0'.repeat(64)),
      spec: { ...spec, task: { ...spec.task, model: normed } },
    };
    const oracle = await oracles().open(run, {
      'norm/moving_mean': Float32Array.of(0, 0),
      'norm/moving_variance': Float32Array.of(1, 4),
    });
    // gamma (1, 2) undoes the variance (1, 4): the same function as without the layer.
    const { loss } = await oracle.lossAndGrad(Float32Array.of(1, 2, 0, 0, ...params), 0);
    expect(loss).toBeCloseTo(byHand(examples).loss, 5);
    await oracle.close();
  });
});

describe('checking the oracle when a run is created', () => {
  it('lets runs through that name no oracle', async () => {
    await expect(oracles().check(runOf('', { oracle: undefined }))).resolves.toBeUndefined();
  });

  it('refuses a proxy set that was not uploaded, naming the field and the next step', async () => {
    const missing = 'f'.repeat(64);
    const checking = oracles().check(runOf(missing));
    await expect(checking).rejects.toMatchObject({
      code: 'bad_request',
      details: { path: 'oracle.data' },
    });
    await expect(checking).rejects.toThrow(`PUT it to /v1/blobs/${missing} first`);
  });

  it.each<[string, () => Uint8Array, string, RegExp]>([
    ['is no safetensors', () => Uint8Array.of(1, 2), 'bad_safetensors', /oracle\.data/],
    ['has an unknown class', () => proxyFile([0, 1, 3]), 'bad_request', /row 2/],
    ['misses a label', () => proxyFile([0, 1]), 'bad_request', /3 examples/],
    [
      'has no labels',
      () => encodeSafetensors({ x: { shape: [1, 2], data: Float32Array.of(1, 2) } }),
      'bad_request',
      /"y"/,
    ],
  ])('refuses a proxy set that %s', async (_, file, code, message) => {
    const checking = oracles().check(runOf(await blobs.put(file())));
    await expect(checking).rejects.toMatchObject({ code });
    await expect(checking).rejects.toThrow(message);
  });

  it('refuses a loss that the model and the labels cannot have', async () => {
    const { spec } = runOf(await blobs.put(proxyFile()));
    const task = { ...spec.task, loss: 'meanSquaredError' as const };
    await expect(oracles().check({ spec: { ...spec, task } })).rejects.toMatchObject({
      code: 'bad_model',
    });
  });

  it('refuses a task with tensors that never leave the clients', async () => {
    const { spec } = runOf(await blobs.put(proxyFile()));
    const tensors = spec.task.model.tensors.map((tensor, i) =>
      i === 1 ? { ...tensor, role: 'local' as const } : tensor,
    );
    const task = { ...spec.task, model: { ...spec.task.model, tensors } };
    await expect(oracles().check({ spec: { ...spec, task } })).rejects.toMatchObject({
      code: 'rule_needs',
    });
  });

  it('refuses to answer for a client', async () => {
    const run = runOf('', { oracle: { kind: 'client' } });
    await expect(oracles().check(run)).rejects.toMatchObject({ code: 'rule_needs' });
  });
});
