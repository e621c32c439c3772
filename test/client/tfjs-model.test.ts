import { input, layers, model as functional, sequential } from '@tensorflow/tfjs-layers';
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import {
  buildModel,
  getParams,
  initialParams,
  modelSpecOf,
  setParams,
  specFromTopology,
} from '../../client/tfjs/model.js';
import { decodeParams, encodeParams, flatten, unflatten } from '../../client/params.js';
import { modelSpec } from '../../protocol/model.js';
import type { ModelSpec, TensorSpec } from '../../protocol/model.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { bitsOf, noise } from './support/tfjs.js';

beforeAll(async () => {
  await prepareBackend('wasm');
});

function mlp(): LayersModel {
  return sequential({
    layers: [
      layers.dense({ units: 3, inputShape: [4], activation: 'relu' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
}

const namesOf = ({ tensors }: ModelSpec): string[] => tensors.map(({ name }) => name);

describe('the specification of a model', () => {
  it('names tensors by layer and weight, whatever was built before', async () => {
    const names = ['dense/kernel', 'dense/bias', 'dense_1/kernel', 'dense_1/bias'];
    expect(namesOf(await modelSpecOf(mlp()))).toEqual(names);
    expect(namesOf(await modelSpecOf(mlp()))).toEqual(names);
  });

  it('is the same for the same layers, and one that the protocol takes', async () => {
    const [first, second] = [await modelSpecOf(mlp()), await modelSpecOf(mlp())];
    expect(second).toEqual(first);
    expect(modelSpec.parse(JSON.parse(JSON.stringify(first)))).toEqual(first);
  });

  it('keeps names that were chosen, and never gives one twice', async () => {
    const chosen = sequential({
      layers: [
        layers.dense({ units: 3, inputShape: [4] }),
        layers.dense({ units: 2, name: 'dense' }),
        layers.dense({ units: 2 }),
      ],
    });
    const names = namesOf(await modelSpecOf(chosen));
    expect(names.filter((name) => name.endsWith('kernel'))).toEqual([
      'dense_1/kernel',
      'dense/kernel',
      'dense_2/kernel',
    ]);
  });

  it('follows branches, nested models and wrapped layers', async () => {
    const start = input({ shape: [5, 2] });
    const hidden = layers
      .bidirectional({ layer: layers.gru({ units: 3 }), mergeMode: 'concat' })
      .apply(start) as SymbolicTensor;
    const inner = sequential({ layers: [layers.dense({ units: 4, inputShape: [6] })] });
    const sum = layers
      .add()
      .apply([
        inner.apply(hidden) as SymbolicTensor,
        layers.dense({ units: 4, name: 'mine' }).apply(hidden) as SymbolicTensor,
      ]) as SymbolicTensor;
    const spec = await modelSpecOf(functional({ inputs: start, outputs: sum }));
    expect(namesOf(spec)).toEqual([
      'bidirectional/forward_gru/kernel',
      'bidirectional/forward_gru/recurrent_kernel',
      'bidirectional/forward_gru/bias',
      'bidirectional/backward_gru/kernel',
      'bidirectional/backward_gru/recurrent_kernel',
      'bidirectional/backward_gru/bias',
      'dense/kernel',
      'dense/bias',
      'mine/kernel',
      'mine/bias',
    ]);
    expect(namesOf(await modelSpecOf(await buildModel(spec)))).toEqual(namesOf(spec));
  });

  it('calls batch-norm statistics buffers and the weights of frozen layers frozen', async () => {
    const frozen = sequential({
      layers: [
        layers.dense({ units: 2, inputShape: [3], trainable: false, useBias: false }),
        layers.batchNormalization(),
        layers.batchNormalization({ trainable: false, name: 'still' }),
        layers.dense({ units: 1, useBias: false }),
      ],
    });
    const roles = (await modelSpecOf(frozen)).tensors.map(({ name, role }) => [name, role]);
    expect(Object.fromEntries(roles)).toEqual({
      'dense/kernel': 'frozen',
      'batch_normalization/gamma': 'shared',
      'batch_normalization/beta': 'shared',
      'batch_normalization/moving_mean': 'buffer',
      'batch_normalization/moving_variance': 'buffer',
      'still/gamma': 'frozen',
      'still/beta': 'frozen',
      'still/moving_mean': 'frozen',
      'still/moving_variance': 'frozen',
      'dense_1/kernel': 'shared',
    });
  });

  it('lists the tensors in the order of the weights', async () => {
    const model = mlp();
    const { tensors } = await modelSpecOf(model);
    expect(tensors.map(({ shape }) => shape)).toEqual(model.weights.map(({ shape }) => shape));
  });

  it('follows from layers JSON alone, also inside a Keras file', async () => {
    const { body, tensors } = await modelSpecOf(mlp());
    expect((await specFromTopology(body)).tensors).toEqual(tensors);
    expect((await specFromTopology({ model_config: body })).tensors).toEqual(tensors);
  });

  it.each([[null], ['text'], [{ class_name: 'Dense', config: {} }], [[1]]])(
    'is refused for a body of %j',
    async (body) => {
      await expect(specFromTopology(body)).rejects.toMatchObject({ code: 'bad_model' });
    },
  );

  it('is refused, with the reason, for a layer that TF.js does not know', async () => {
    const body = {
      class_name: 'Sequential',
      config: { name: 'm', layers: [{ class_name: 'Quantum', config: {} }] },
    };
    await expect(specFromTopology(body)).rejects.toMatchObject({
      code: 'bad_model',
      message: expect.stringContaining('Quantum') as string,
    });
  });
});

describe('building a model', () => {
  it('gives the layers back that were described', async () => {
    const spec = await modelSpecOf(mlp());
    expect(await modelSpecOf(await buildModel(spec))).toEqual(spec);
  });

  it('refuses tensors of another order, shape or number', async () => {
    const spec = await modelSpecOf(mlp());
    const [a, b, c, d] = spec.tensors;
    const wrong = [
      [b, a, c, d],
      [{ ...a, shape: [3, 4] }, b, c, d],
      [a, b, c],
      [a, b, c, d, a],
    ];
    for (const tensors of wrong)
      await expect(buildModel({ ...spec, tensors })).rejects.toMatchObject({ code: 'bad_model' });
  });

  it('refuses an opaque model', async () => {
    const spec = { ...(await modelSpecOf(mlp())), format: 'opaque' as const };
    await expect(buildModel(spec)).rejects.toMatchObject({ code: 'bad_model' });
  });

  it('leaves no tensors when it refuses', async () => {
    const spec = await modelSpecOf(mlp());
    const before = tf.memory().numTensors;
    await expect(buildModel({ ...spec, tensors: [] })).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('convolutions that TF.js gets wrong', () => {
  const conv = (
    size: number,
    args: Omit<Parameters<typeof layers.conv2d>[0], 'filters'>,
  ): LayersModel =>
    sequential({ layers: [layers.conv2d({ filters: 2, inputShape: [size, size, 1], ...args })] });

  it.each([
    [9, { kernelSize: 2, strides: 3, padding: 'same' }],
    [8, { kernelSize: 3, strides: 4, padding: 'same' }],
    [8, { kernelSize: [3, 1], strides: [1, 2], padding: 'same' }],
  ] as const)('are refused: input %i, %j', async (size, args) => {
    await expect(modelSpecOf(conv(size, args as never))).rejects.toMatchObject({
      code: 'bad_model',
      message: expect.stringContaining('"conv2d"') as string,
    });
  });

  it.each([
    [7, { kernelSize: 2, strides: 3, padding: 'same' }],
    [8, { kernelSize: 1, strides: 2, padding: 'same' }],
    [9, { kernelSize: 2, strides: 3, padding: 'valid' }],
    [8, { kernelSize: 3, strides: 2, padding: 'same' }],
  ] as const)('are taken where they are right: input %i, %j', async (size, args) => {
    const model = conv(size, args);
    await expect(modelSpecOf(model)).resolves.toBeDefined();
    // And right they are: no channel of the output is all zeros.
    const output = model.predict(tf.tensor(noise(size * size, 'image'), [1, size, size, 1]));
    expect(tf.max(tf.abs(output as tf.Tensor)).dataSync()[0]).toBeGreaterThan(0);
  });

  it('are refused where their zeros would come in the gradient only', async () => {
    const transposed = sequential({
      layers: [
        layers.conv2dTranspose({
          ...{ filters: 2, kernelSize: 2, strides: 3, padding: 'same' as const },
          inputShape: [3, 3, 1],
        }),
      ],
    });
    await expect(modelSpecOf(transposed)).rejects.toMatchObject({ code: 'bad_model' });
  });

  it('are refused inside nested models and wrappers, where the size may be unknown', async () => {
    const args = { filters: 2, kernelSize: 2, strides: 3, padding: 'same' as const };
    const nested = sequential({
      layers: [sequential({ layers: [layers.conv2d({ ...args, inputShape: [9, 9, 1] })] })],
    });
    await expect(modelSpecOf(nested)).rejects.toMatchObject({ code: 'bad_model' });
    const wrapped = sequential({
      layers: [layers.timeDistributed({ layer: layers.conv2d(args), inputShape: [2, 7, 7, 1] })],
    });
    await expect(modelSpecOf(wrapped)).rejects.toMatchObject({ code: 'bad_model' });
  });

  it('are refused where they are dilated, which has no gradient, unless they are frozen', async () => {
    const dilated = { kernelSize: 2, dilationRate: 2 };
    await expect(modelSpecOf(conv(9, dilated))).rejects.toMatchObject({
      message: expect.stringContaining('dilation') as string,
    });
    await expect(modelSpecOf(conv(9, { ...dilated, trainable: false }))).resolves.toBeDefined();
  });
});

describe('initial parameters', () => {
  it('are the same bits for the same seed and others for another', async () => {
    const spec = await modelSpecOf(mlp());
    const first = bitsOf(await initialParams(spec, 3));
    expect(bitsOf(await initialParams(spec, 3))).toEqual(first);
    expect(bitsOf(await initialParams(spec, 4))['dense/kernel']).not.toBe(first['dense/kernel']);
  });

  it('differ between layers of one shape', async () => {
    const twins = sequential({
      layers: [layers.dense({ units: 4, inputShape: [4] }), layers.dense({ units: 4 })],
    });
    const bits = bitsOf(await initialParams(await modelSpecOf(twins), 0));
    expect(bits['dense/kernel']).not.toBe(bits['dense_1/kernel']);
  });

  it('are seeded for every initializer that draws', async () => {
    const drawn = ['glorotUniform', 'heNormal', 'leCunNormal', 'randomUniform', 'truncatedNormal'];
    const more = ['orthogonal', 'randomNormal', 'varianceScaling'];
    for (const kernelInitializer of [...drawn, ...more] as 'glorotUniform'[]) {
      const model = sequential({
        layers: [layers.dense({ units: 5, inputShape: [5], kernelInitializer })],
      });
      const spec = await modelSpecOf(model);
      const first = await initialParams(spec, 9);
      expect(bitsOf(await initialParams(spec, 9)), kernelInitializer).toEqual(bitsOf(first));
      expect(first['dense/kernel'].some((value) => value !== 0)).toBe(true);
    }
  });

  it('are seeded where the initializer is written by its short name', async () => {
    const spec = await modelSpecOf(mlp());
    const text = JSON.stringify(spec.body);
    const long = /\{"class_name":"VarianceScaling","config":\{[^}]*\}\}/g;
    const body = JSON.parse(text.replaceAll(long, '"lecun_normal"')) as ModelSpec['body'];
    expect(JSON.stringify(body)).toContain('"kernel_initializer":"lecun_normal"');
    const first = await initialParams({ ...spec, body }, 2);
    expect(bitsOf(await initialParams({ ...spec, body }, 2))).toEqual(bitsOf(first));
  });

  it('respect a seed that the layer has, and take 0 for none', async () => {
    const seeded = (seed: number): LayersModel =>
      sequential({
        layers: [
          layers.dense({
            ...{ units: 3, inputShape: [3] },
            kernelInitializer: { className: 'RandomNormal', config: { seed } } as never,
          }),
        ],
      });
    const own = await modelSpecOf(seeded(11));
    expect(bitsOf(await initialParams(own, 1))).toEqual(bitsOf(await initialParams(own, 2)));
    const none = await modelSpecOf(seeded(0));
    expect(bitsOf(await initialParams(none, 1))).toEqual(bitsOf(await initialParams(none, 1)));
    expect(bitsOf(await initialParams(none, 1))).not.toEqual(bitsOf(await initialParams(none, 2)));
  });
});

describe('parameters', () => {
  it('come out of a model as they were put in', async () => {
    const spec = await modelSpecOf(mlp());
    const [from, to] = [await initialParams(spec, 7), await buildModel(spec)];
    setParams(to, spec, from);
    expect(bitsOf(getParams(to, spec))).toEqual(bitsOf(from));
  });

  it('that are received are not changed by a constraint', async () => {
    const constrained = sequential({
      layers: [
        layers.dense({ units: 2, inputShape: [2], useBias: false, kernelConstraint: 'nonNeg' }),
      ],
    });
    const spec = await modelSpecOf(constrained);
    const params = { 'dense/kernel': Float32Array.of(1, -2, 3, -4) };
    setParams(constrained, spec, params);
    expect(getParams(constrained, spec)).toEqual(params);
  });

  it('travel through a safetensors file', async () => {
    const spec = await modelSpecOf(mlp());
    const params = await initialParams(spec, 7);
    const bytes = encodeParams(spec, params, { made: 'by a test' });
    expect(bitsOf(decodeParams(spec, bytes))).toEqual(bitsOf(params));
  });

  it.each([
    ['a tensor that is missing', { b: { shape: [2], data: Float32Array.of(1, 2) } }],
    ['another shape', { a: { shape: [2, 1], data: Float32Array.of(1, 2) } }],
    ['another dtype', { a: { shape: [1, 2], data: Int32Array.of(1, 2) } }],
    [
      'a tensor too many',
      {
        a: { shape: [1, 2], data: Float32Array.of(1, 2) },
        b: { shape: [], data: Float32Array.of(1) },
      },
    ],
  ])('are refused from a file with %s', (_, tensors) => {
    const only: TensorSpec = { name: 'a', shape: [1, 2], dtype: 'float32', role: 'shared' };
    const spec = { tensors: [only] };
    expect(() => decodeParams(spec, encodeSafetensors(tensors))).toThrow(
      expect.objectContaining({ code: 'bad_model' }) as Error,
    );
  });

  it('are refused where a tensor is missing or of another size', async () => {
    const spec = await modelSpecOf(mlp());
    const model = await buildModel(spec);
    const { 'dense/bias': bias, ...rest } = await initialParams(spec, 1);
    for (const wrong of [rest, { ...rest, 'dense/bias': bias.subarray(1) }])
      expect(() => setParams(model, spec, wrong)).toThrow(/dense\/bias/);
  });

  it('are one vector and back', async () => {
    const spec = await modelSpecOf(mlp());
    const params = await initialParams(spec, 7);
    const flat = flatten(params, spec.tensors);
    expect(flat).toHaveLength(4 * 3 + 3 + 3 * 2 + 2);
    expect(flat[0]).toBe(params['dense/kernel'][0]);
    expect(bitsOf(unflatten(flat, spec.tensors))).toEqual(bitsOf(params));
    expect(() => unflatten(flat.subarray(1), spec.tensors)).toThrow(/22/);
  });
});
