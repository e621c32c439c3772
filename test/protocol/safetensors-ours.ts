/** What the files `ours-*.safetensors` of test/fixtures/safetensors hold. */
import type { SafetensorsFile, Tensor } from '../../protocol/safetensors.js';

function f32(shape: number[], values: number[]): Tensor {
  return { dtype: 'F32', shape, data: new Float32Array(values) };
}

export const oursFiles: Readonly<Record<string, SafetensorsFile>> = {
  'ours-update': {
    tensors: {
      'delta/dense/kernel': f32([3, 2], [0.125, -0.25, 0.375, 0.5, 1e-38, 3.4e38]),
      'delta/dense/bias': f32([2], [-0, 1]),
      'delta/scale': f32([], [0.5]),
    },
    metadata: {
      'tributary.update':
        '{"assignmentId":"a1","numExamples":120,"numSteps":4,"metrics":{"loss":0.5}}',
    },
  },
  'ours-dtypes': {
    tensors: {
      bool: { dtype: 'BOOL', shape: [3], data: new Uint8Array([1, 0, 1]) },
      i8: { dtype: 'I8', shape: [1], data: new Int8Array([-128]) },
      bf16: { dtype: 'BF16', shape: [3], data: new Uint16Array([0x3fc0, 0xc000, 0x4049]) },
      f16: { dtype: 'F16', shape: [1], data: new Uint16Array([0x3e00]) },
      i32: { dtype: 'I32', shape: [2], data: new Int32Array([-(2 ** 31), 2 ** 31 - 1]) },
      f64: { dtype: 'F64', shape: [2, 1], data: new Float64Array([0.1, 5e-324]) },
      i64: { dtype: 'I64', shape: [1], data: new BigInt64Array([-(2n ** 63n)]) },
      'no rows': f32([0, 4], []),
    },
    metadata: { first: 'naïve – \n', second: '"\\' },
  },
  'ours-names': {
    tensors: {
      'quote " and \\': f32([1], [0]),
      'tab\tnul\0': f32([1], [1]),
      模型: f32([1], [2]),
      '😀': f32([1], [3]),
    },
    metadata: {},
  },
};
