/** Random tensors of every dtype. */
import fc from 'fast-check';
import type { Dtype, Tensor, TensorData } from '../../protocol/safetensors.js';

const fromBytes: Record<Dtype, (buffer: ArrayBuffer) => TensorData> = {
  BOOL: (buffer) => new Uint8Array(buffer),
  U8: (buffer) => new Uint8Array(buffer),
  I8: (buffer) => new Int8Array(buffer),
  I16: (buffer) => new Int16Array(buffer),
  U16: (buffer) => new Uint16Array(buffer),
  F16: (buffer) => new Uint16Array(buffer),
  BF16: (buffer) => new Uint16Array(buffer),
  I32: (buffer) => new Int32Array(buffer),
  U32: (buffer) => new Uint32Array(buffer),
  F32: (buffer) => new Float32Array(buffer),
  F64: (buffer) => new Float64Array(buffer),
  I64: (buffer) => new BigInt64Array(buffer),
  U64: (buffer) => new BigUint64Array(buffer),
};

const elementBytes: Record<Dtype, number> = {
  ...{ BOOL: 1, U8: 1, I8: 1, I16: 2, U16: 2, F16: 2, BF16: 2 },
  ...{ I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8 },
};

const anyTensor: fc.Arbitrary<Tensor> = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(fromBytes) as Dtype[])),
    shape: fc.array(fc.nat(3), { maxLength: 4 }),
  })
  .chain(({ dtype, shape }) => {
    const length = shape.reduce((product, size) => product * size, elementBytes[dtype]);
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => ({ dtype, shape, data: fromBytes[dtype](bytes.slice().buffer) }));
  });

const anyName = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom(
      '__proto__',
      'constructor',
      '',
      '0',
      '17',
      '\u0000',
      '"\\',
      'é',
      'delta/dense/kernel',
    ),
  )
  .filter((name) => name !== '__metadata__');

/** Up to six tensors under distinct names. */
export const anyTensors: fc.Arbitrary<Record<string, Tensor>> = fc
  .uniqueArray(fc.tuple(anyName, anyTensor), { maxLength: 6, selector: ([name]) => name })
  .map((entries) => Object.fromEntries(entries));

export function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
