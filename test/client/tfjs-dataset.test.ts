import { describe, expect, it } from 'vitest';
import { checkDataset, datasetOf, subset } from '../../client/tfjs/dataset.js';
import { dataContract } from '../../protocol/model.js';
import type { DataContract } from '../../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { TensorInput } from '../../protocol/safetensors.js';

const contract = dataContract.parse({
  features: { shape: [2, 2], min: 0, max: 1, columns: ['a', 'b', 'c', 'd'] },
  labels: { kind: 'class', classes: 3, column: 'kind' },
});
const values: DataContract = { ...contract, labels: { kind: 'value' } };

const x = { shape: [2, 2, 2], data: Float32Array.of(0, 0.25, 0.5, 0.75, 1, 0, 0, 1) };
const y = { shape: [2], data: Int32Array.of(2, 0) };

function read(tensors: Record<string, TensorInput>, as = contract): ReturnType<typeof datasetOf> {
  return datasetOf(as, decodeSafetensors(encodeSafetensors(tensors)).tensors);
}

describe('a dataset from safetensors', () => {
  it('takes floats as they are', () => {
    expect(read({ x, y })).toEqual({ features: x.data, labels: Int32Array.of(2, 0), size: 2 });
  });

  it('takes bytes as shares of 255', () => {
    const bytes = { shape: [1, 2, 2], data: Uint8Array.of(0, 51, 255, 102) };
    const { features } = read({ x: bytes, y: { shape: [1], data: Uint8Array.of(1) } });
    expect([...features]).toEqual([0, Math.fround(0.2), 1, Math.fround(0.4)]);
  });

  it('takes examples that are written flat, and labels in a column', () => {
    const flat = read({ x: { ...x, shape: [2, 4] }, y: { ...y, shape: [2, 1] } });
    expect(flat).toEqual(read({ x, y }));
  });

  it.each([
    ['I64', BigInt64Array.of(2n, 0n)],
    ['U8', Uint8Array.of(2, 0)],
    ['I16', Int16Array.of(2, 0)],
    ['F32', Float32Array.of(2, 0)],
  ])('takes classes of type %s', (_, data) => {
    expect(read({ x, y: { shape: [2], data } }).labels).toEqual(Int32Array.of(2, 0));
  });

  it('keeps values as floats', () => {
    const { labels } = read({ x, y: { shape: [2], data: Float32Array.of(0.5, -7) } }, values);
    expect(labels).toEqual(Float32Array.of(0.5, -7));
  });

  it.each<[string, Record<string, TensorInput>, RegExp]>([
    ['no labels', { x }, /no tensor "y"/],
    ['no features', { y }, /no tensor "x"/],
    ['features of another shape', { x: { ...x, shape: [4, 2] }, y }, /\[4, 2\].*\[n, 2, 2\]/],
    ['a scalar for features', { x: { shape: [], data: Float32Array.of(1) }, y }, /"x" has shape/],
    ['labels for others', { x, y: { shape: [1], data: Int32Array.of(0) } }, /2 examples in "x"/],
    ['features of doubles', { x: { ...x, data: Float64Array.from(x.data) }, y }, /F64/],
    [
      'features that are truths',
      { x: { ...x, dtype: 'BOOL', data: new Uint8Array(8) }, y },
      /BOOL/,
    ],
    [
      'halves for labels',
      { x, y: { dtype: 'F16', shape: [2], data: Uint16Array.of(0, 0) } },
      /F16/,
    ],
    [
      'class one and a half',
      { x, y: { shape: [2], data: Float32Array.of(0, 1.5) } },
      /row 1.*1\.5/,
    ],
  ])('refuses %s', (_, tensors, message) => {
    expect(() => read(tensors)).toThrow(message);
    expect(() => read(tensors)).toThrow(expect.objectContaining({ code: 'bad_request' }) as Error);
  });
});

describe('checking a dataset', () => {
  const good = { features: x.data, labels: y.data, size: 2 };
  const withFeature = (value: number): typeof good => ({
    ...good,
    features: x.data.with(6, value),
  });

  it('lets good data through', () => {
    expect(() => checkDataset(contract, good)).not.toThrow();
  });

  it.each([
    [
      'a value above the range',
      withFeature(1.5),
      contract,
      /row 1, column c: 1\.5 is outside 0 to 1/,
    ],
    ['NaN', withFeature(NaN), contract, /row 1, column c: NaN is not finite/],
    [
      'a class too high',
      { ...good, labels: Int32Array.of(0, 3) },
      contract,
      /row 1, column kind: 3/,
    ],
    ['a negative class', { ...good, labels: Int32Array.of(-1, 0) }, contract, /row 0, column kind/],
    ['a value of infinity', { ...good, labels: Float32Array.of(0, Infinity) }, values, /row 1/],
    ['too few labels', { ...good, labels: Int32Array.of(0) }, contract, /2 examples have 1 labels/],
    ['too few features', { ...good, features: x.data.subarray(1) }, contract, /not 7/],
    ['too few examples', good, { ...contract, minExamples: 3 }, /at least 3/],
  ])('refuses %s, and says where', (_, dataset, against, message) => {
    expect(() => checkDataset(against, dataset)).toThrow(message);
  });

  it('tells the place to programs too', () => {
    expect(() => checkDataset(contract, withFeature(NaN))).toThrow(
      expect.objectContaining({ details: { row: 1, column: 'c' } }) as Error,
    );
  });
});

describe('a subset', () => {
  const good = { features: x.data, labels: y.data, size: 2 };

  it('has the rows asked for, in that order, and may repeat them', () => {
    const picked = subset(good, [1, 0, 1]);
    expect([...picked.labels]).toEqual([0, 2, 0]);
    expect([...picked.features.subarray(4, 8)]).toEqual([0, 0.25, 0.5, 0.75]);
    expect(picked.size).toBe(3);
  });

  it('is a copy', () => {
    subset(good, [0]).features.fill(9);
    expect(good.features[0]).toBe(0);
  });

  it.each([2, -1, 0.5])('has no row %s', (row) => {
    expect(() => subset(good, [row])).toThrow(/row/);
  });
});
