/** From the result of training to the bytes of an update. */
import { describe, expect, it } from 'vitest';
import { copyParams, readParams } from '../../client/checkpoint.js';
import type { TrainResult } from '../../client/types.js';
import { encodeUpdate } from '../../client/update.js';
import type { TensorSpec } from '../../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { TensorInput } from '../../protocol/safetensors.js';

const tensor = (name: string, shape: number[], role: TensorSpec['role'] = 'shared') =>
  ({ name, shape, role, dtype: 'float32' }) as const;
const specs = [
  tensor('w', [2, 1]),
  tensor('mean', [1], 'buffer'),
  tensor('head', [1], 'local'),
  tensor('base', [1], 'frozen'),
];
const model = {
  w: Float32Array.of(0.1, 1),
  mean: Float32Array.of(5),
  head: Float32Array.of(1),
  base: Float32Array.of(1),
};
const result: TrainResult = {
  params: { ...model, w: Float32Array.of(0.3, 2 ** -30), mean: Float32Array.of(5.5) },
  numExamples: 3,
};
const training = { epochs: 2, batchSize: 2 };
const plain = { id: 'a1', vectors: [], training };

function decoded(assignment: Parameters<typeof encodeUpdate>[0], trained: TrainResult) {
  return decodeSafetensors(encodeUpdate(assignment, specs, model, trained));
}

describe('an update', () => {
  it('holds trained minus received, rounded once, of what travels', () => {
    const { tensors } = decoded(plain, result);
    const fround = Math.fround;
    expect({ ...tensors }).toEqual({
      'delta/w': {
        dtype: 'F32',
        shape: [2, 1],
        data: Float32Array.of(fround(fround(0.3) - fround(0.1)), fround(2 ** -30 - 1)),
      },
      'delta/mean': { dtype: 'F32', shape: [1], data: Float32Array.of(0.5) },
    });
  });

  it('says for which assignment it is, and that the steps that were asked for were made where none are counted', () => {
    const facts = (trained: TrainResult) =>
      JSON.parse(decoded(plain, trained).metadata['tributary.update']) as unknown;
    // Three examples in batches of two, twice.
    const stated = { assignmentId: 'a1', numExamples: 3, numSteps: 4, metrics: {} };
    expect(facts(result)).toEqual(stated);
    const counted = { ...result, numSteps: 12, metrics: { loss: 0.25 } };
    expect(facts(counted)).toEqual({ ...stated, numSteps: 12, metrics: { loss: 0.25 } });
  });

  it('holds the auxiliary vectors that were asked for, over the shared tensors', () => {
    const vectors = {
      'batch.0': { w: Float32Array.of(1, 2) },
      'batch.1': { w: Float32Array.of(3, 4) },
      control: { w: Float32Array.of(5, 6) },
      batches: { w: Float32Array.of(7, 8) },
    };
    const keys = (asked: string[]) =>
      Object.keys(decoded({ ...plain, vectors: asked }, { ...result, vectors }).tensors).sort();
    const deltas = ['delta/mean', 'delta/w'];
    expect(keys([])).toEqual(deltas);
    expect(keys(['batch'])).toEqual(['batch.0/w', 'batch.1/w', ...deltas]);
    expect(keys(['control'])).toEqual(['control/w', ...deltas]);
  });

  it.each<[string, Partial<TrainResult>, string, RegExp]>([
    ['is missing', { params: {} }, 'wrong_tensors', /^params: "w" is not a Float32Array/],
    [
      'is of another type',
      { params: { ...result.params, w: [1, 2] as unknown as Float32Array } },
      'wrong_tensors',
      /^params: "w"/,
    ],
    [
      'has another size',
      { params: { ...result.params, w: new Float32Array(1) } },
      'wrong_shape',
      /1 elements; \[2, 1\] has 2/,
    ],
    ['has too few examples', { numExamples: 0 }, 'bad_facts', /numExamples/],
    ['has half a step', { numSteps: 0.5 }, 'bad_facts', /numSteps/],
    ['has a loss of infinity', { metrics: { loss: Infinity } }, 'bad_facts', /metrics\.loss/],
  ])('is refused where something %s', (_, changes, code, message) => {
    const encode = () => encodeUpdate(plain, specs, model, { ...result, ...changes });
    expect(encode).toThrow(message);
    expect(encode).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('a checkpoint', () => {
  const file = (changes: Record<string, TensorInput> = {}) =>
    encodeSafetensors({
      w: { shape: [2, 1], data: model.w },
      extra: { shape: [1], data: Float32Array.of(9) },
      ...changes,
    });

  it('gives the tensors of the task, whatever else is in the file', () => {
    expect(readParams(file(), specs.slice(0, 1))).toEqual({ w: model.w });
  });

  it.each<[string, Record<string, TensorInput>, RegExp]>([
    ['another shape', { w: { shape: [2], data: model.w } }, /"w" has shape \[2\].*\[2, 1\]/],
    ['another dtype', { w: { shape: [2, 1], data: Int32Array.of(1, 2) } }, /no F32 tensor "w"/],
  ])('with %s is refused', (_, changes, message) => {
    const read = () => readParams(file(changes), specs.slice(0, 1));
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ code: 'bad_model' }) as Error);
  });

  it('that lacks a tensor is refused', () => {
    expect(() => readParams(file(), specs)).toThrow('no F32 tensor "mean"');
  });

  it('is not changed through a copy', () => {
    const copy = copyParams(model);
    copy.w.fill(100);
    expect(model.w).toEqual(Float32Array.of(0.1, 1));
  });
});
