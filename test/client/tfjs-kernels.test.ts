import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { noise } from './support/tfjs.js';

/** What the added kernels must agree with the cpu backend to. */
const TOLERANCE = 1e-4;

beforeAll(async () => {
  // The cpu backend advertises tfjs-node when it is first used.
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  await prepareBackend('wasm');
});

function random(shape: number[], purpose: string): tf.Tensor {
  return tf.tensor(
    noise(
      shape.reduce((a, b) => a * b, 1),
      purpose,
    ),
    shape,
  );
}

/** Gradients of sum(f(inputs) * fixed noise) on both backends. */
async function compare(
  shapes: readonly number[][],
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
): Promise<void> {
  const results: Float32Array[][] = [];
  for (const backend of ['cpu', 'wasm']) {
    await prepareBackend(backend);
    results.push(tf.tidy(() => gradients(shapes, f)));
  }
  const [expected, actual] = results;
  expected.forEach((gradient, index) => {
    expect(gradient.some((value) => value !== 0)).toBe(true);
    expect(actual[index]).toHaveLength(gradient.length);
    const errors = gradient.map((value, i) => Math.abs(value - actual[index][i]));
    expect(Math.max(...errors)).toBeLessThan(TOLERANCE);
  });
}

function gradients(
  shapes: readonly number[][],
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
): Float32Array[] {
  const inputs = shapes.map((shape, index) => random(shape, `input ${index}`));
  const loss = (...args: tf.Tensor[]): tf.Tensor => {
    const output = f(...args);
    return tf.sum(tf.mul(output, random(output.shape, 'weights')));
  };
  return tf
    .grads(loss)(inputs)
    .map((gradient) => Float32Array.from(gradient.dataSync()));
}

type Case = [
  batch: number,
  size: number[],
  kernel: number[],
  channels: number[],
  stride: number[],
  pad: 'same' | 'valid' | number,
];

const windows: Case[] = [
  [2, [7, 7], [3, 3], [2, 4], [1, 1], 'same'],
  [2, [7, 7], [3, 3], [2, 4], [1, 1], 'valid'],
  [3, [8, 6], [3, 2], [1, 5], [2, 2], 'same'],
  // The stride leaves a rest of the input that no window sees.
  [3, [8, 7], [3, 3], [3, 2], [2, 2], 'valid'],
  [2, [9, 8], [2, 3], [3, 2], [3, 2], 'valid'],
  [1, [5, 5], [5, 5], [2, 3], [1, 1], 'valid'],
  [4, [6, 6], [1, 1], [3, 4], [1, 1], 'same'],
  [4, [6, 6], [1, 1], [3, 4], [2, 2], 'same'],
  [2, [6, 5], [3, 3], [2, 2], [1, 1], 2],
  [2, [7, 7], [2, 2], [2, 3], [2, 2], 1],
  // More padding than the kernel is wide: windows that see nothing but padding.
  [2, [5, 5], [2, 2], [2, 3], [1, 1], 3],
  [32, [14, 14], [5, 5], [1, 6], [1, 1], 'same'],
];

describe('gradients of convolutions on wasm', () => {
  it.each(windows)(
    'agree with cpu: batch %i, input %j, kernel %j, channels %j, stride %j, padding %s',
    async (batch, size, kernel, channels, stride, pad) => {
      await compare(
        [
          [batch, ...size, channels[0]],
          [...kernel, ...channels],
        ],
        (x, filter) =>
          tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, stride as [number, number], pad),
      );
    },
  );

  it.each(windows)(
    'agree with cpu when depthwise: batch %i, input %j, kernel %j, channels %j, stride %j, padding %s',
    async (batch, size, kernel, channels, stride, pad) => {
      await compare(
        [
          [batch, ...size, channels[0]],
          [...kernel, channels[0], 1 + (channels[1] % 3)],
        ],
        (x, filter) =>
          tf.depthwiseConv2d(
            x as tf.Tensor4D,
            filter as tf.Tensor4D,
            stride as [number, number],
            pad,
          ),
      );
    },
  );

  it.each([1, 2])('agree with cpu for a transposed convolution of stride %i', async (stride) => {
    await compare(
      [
        [2, 4, 5, 3],
        [3, 3, 2, 3],
      ],
      (x, filter) =>
        tf.conv2dTranspose(
          x as tf.Tensor4D,
          filter as tf.Tensor4D,
          [2, 4 * stride, 5 * stride, 2],
          stride,
          'same',
        ),
    );
  });
});

describe('the gradient of a gather on wasm', () => {
  it.each([
    [
      [5, 3],
      [0, 4, 4, 2],
    ],
    [[6], [5, 5, 5, 0, 1]],
    [
      [4, 2, 3],
      [3, 0, 3],
    ],
  ])('agrees with cpu for a table of %j and indices %j', async (shape, indices) => {
    await compare([shape], (table) => tf.gather(table, tf.tensor1d(indices, 'int32')));
  });

  it('agrees with cpu for indices in two dimensions, as an embedding has them', async () => {
    const indices = [
      [1, 2],
      [2, 7],
      [0, 1],
    ];
    await compare([[8, 4]], (table) => tf.gather(table, tf.tensor2d(indices, [3, 2], 'int32')));
  });

  it('leaves out rows of no segment', async () => {
    await prepareBackend('wasm');
    const sums = tf.tidy(() => {
      const rows = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
      const segments = tf.tensor1d([1, -1, 1], 'int32');
      return tf.unsortedSegmentSum(rows, segments, 3).arraySync();
    });
    expect(sums).toEqual([
      [0, 0],
      [6, 8],
      [0, 0],
    ]);
  });
});

describe('matrix products on wasm', () => {
  const shapes: [string, number[], number[], boolean, boolean][] = [
    ['plain', [4, 5], [5, 3], false, false],
    ['left transposed', [5, 4], [5, 3], true, false],
    ['right transposed', [4, 5], [3, 5], false, true],
    ['both transposed', [5, 4], [3, 5], true, true],
    ['vectors', [1, 7], [1, 7], false, true],
    ['a batch', [2, 5, 4], [2, 5, 3], true, false],
  ];
  it.each(shapes)('agree with cpu: %s', async (_, a, b, transposeA, transposeB) => {
    await compare([a, b], (x, y) => tf.matMul(x, y, transposeA, transposeB));
  });
});

describe('the added kernels', () => {
  it('free what they allocate', async () => {
    await prepareBackend('wasm');
    const backend = tf.backend();
    const step = (): void => {
      tf.tidy(() => {
        for (const [stride, pad] of [
          [1, 'same'],
          [2, 'valid'],
        ] as const) {
          const shapes = [
            [2, 6, 6, 2],
            [3, 3, 2, 3],
          ];
          gradients(shapes, (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad));
          gradients(shapes, (x, w) =>
            tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad),
          );
        }
        gradients([[5, 2]], (table) => tf.gather(table, tf.tensor1d([1, 1], 'int32')));
        gradients(
          [
            [5, 4],
            [3, 5],
          ],
          (x, y) => tf.matMul(x, y, true, true),
        );
      });
    };
    step();
    const before = [backend.numDataIds(), tf.memory().numTensors];
    step();
    expect([backend.numDataIds(), tf.memory().numTensors]).toEqual(before);
  });
});
