import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import {
  decodeSafetensors,
  encodeSafetensors,
  headerLength,
  MAX_HEADER_BYTES,
  parseHeader,
} from '../../protocol/safetensors.js';
import type { Dtype, TensorData, TensorInput } from '../../protocol/safetensors.js';
import { fileOf } from './safetensors-files.js';
import { anyTensors, bytesOf } from './safetensors-arbitraries.js';

function headerText(file: Uint8Array): string {
  return new TextDecoder().decode(file.subarray(8, 8 + headerLength(file)));
}

describe('writing safetensors', () => {
  it('writes the length, the header padded to 8 bytes, and little-endian data', () => {
    const file = encodeSafetensors({ attn0: { shape: [1, 2], data: new Float32Array([1, -2]) } });

    const header = '{"attn0":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}    ';
    expect([...file.subarray(0, 8)]).toEqual([header.length, 0, 0, 0, 0, 0, 0, 0]);
    expect(headerText(file)).toBe(header);
    expect([...file.subarray(8 + header.length)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  it('writes metadata first, and leaves it out where there is none', () => {
    expect(headerText(encodeSafetensors({}, { a: '1' }))).toBe('{"__metadata__":{"a":"1"}}      ');
    expect(headerText(encodeSafetensors({}, {}))).toBe('{}      ');
  });

  it('gives the same bytes for the same content in the same order', () => {
    const pool = new Float32Array([9, 1, 2, 9]);
    const fromPool = {
      b: { shape: [2], data: pool.subarray(1, 3) },
      a: { shape: [], data: pool.subarray(1, 2) },
    };
    const own = {
      b: { shape: [2], data: new Float32Array([1, 2]) },
      a: { shape: [], data: new Float32Array([1]) },
    };

    expect(encodeSafetensors(fromPool, { k: 'v', j: 'w' })).toEqual(
      encodeSafetensors(own, { k: 'v', j: 'w' }),
    );
    expect(encodeSafetensors({ a: own.a, b: own.b })).not.toEqual(encodeSafetensors(own));
  });

  it('aligns every tensor by putting larger elements first, else in the order of the keys', () => {
    const file = encodeSafetensors({
      bytes: { shape: [3], data: new Uint8Array(3) },
      second: { shape: [1], data: new Float32Array(1) },
      halves: { dtype: 'F16', shape: [1], data: new Uint16Array(1) },
      doubles: { shape: [1], data: new Float64Array(1) },
      first: { shape: [1], data: new Int32Array(1) },
    });
    const header = parseHeader(file.subarray(8, 8 + headerLength(file)), file.length);

    expect([...header.tensors.keys()]).toEqual(['doubles', 'second', 'first', 'halves', 'bytes']);
    const offsets = [...header.tensors.values()].map(({ begin }) => begin - header.dataStart);
    expect(offsets).toEqual([0, 8, 12, 16, 18]);
    expect(header.dataStart % 8).toBe(0);
  });

  it.each<[TensorData, Dtype]>([
    [new Uint8Array(1), 'U8'],
    [Buffer.alloc(1), 'U8'],
    [new Int8Array(1), 'I8'],
    [new Int16Array(1), 'I16'],
    [new Int32Array(1), 'I32'],
    [new Uint32Array(1), 'U32'],
    [new Float32Array(1), 'F32'],
    [new Float64Array(1), 'F64'],
    [new BigInt64Array(1), 'I64'],
    [new BigUint64Array(1), 'U64'],
  ])('infers the dtype of %o', (data, dtype) => {
    expect(decodeSafetensors(encodeSafetensors({ t: { shape: [1], data } })).tensors.t.dtype).toBe(
      dtype,
    );
  });

  const two = new Float32Array(2);
  it.each<[string, Record<string, TensorInput>, RegExp]>([
    [
      'a Uint16Array of unstated dtype',
      { t: { shape: [1], data: new Uint16Array(1) } },
      /tensor "t": state the dtype of its Uint16Array/,
    ],
    [
      'an array of another dtype',
      { t: { dtype: 'F64', shape: [2], data: two } },
      /tensor "t": F64 is not written from a Float32Array/,
    ],
    [
      'an unknown dtype',
      { t: { dtype: 'F31' as Dtype, shape: [2], data: two } },
      /unknown dtype "F31"/,
    ],
    ['too little data', { t: { shape: [3], data: two } }, /data of 8 bytes; F32 \[3\] needs 12/],
    ['too much data', { t: { shape: [], data: two } }, /data of 8 bytes; F32 \[\] needs 4/],
    [
      'a negative dimension',
      { t: { shape: [-1, -2], data: two } },
      /\[-1, -2\]: -1 is not a whole number/,
    ],
    ['a fractional dimension', { t: { shape: [0.5, 4], data: two } }, /0.5 is not a whole number/],
    ['a dimension of NaN', { t: { shape: [NaN], data: two } }, /NaN is not a whole number/],
    ['a product over 2^53', { t: { shape: [2 ** 40, 2 ** 40], data: two } }, /2\^53 bytes or more/],
    [
      'too many dimensions',
      { t: { shape: Array<number>(65).fill(1), data: new Float32Array(1) } },
      /more than 64 dimensions/,
    ],
    ['the name of the metadata', { __metadata__: { shape: [2], data: two } }, /kept for metadata/],
    [
      'half of a surrogate pair',
      { 'a\ud800': { shape: [2], data: two } },
      /half of a surrogate pair/,
    ],
    [
      'a header over the limit',
      { ['x'.repeat(MAX_HEADER_BYTES)]: { shape: [2], data: two } },
      /header would have/,
    ],
  ])('refuses %s', (_what, tensors, says) => {
    expect(() => encodeSafetensors(tensors)).toThrow(TributaryError);
    expect(() => encodeSafetensors(tensors)).toThrow(says);
  });

  it('refuses metadata that is not text', () => {
    const numbers = { epochs: 3 } as unknown as Record<string, string>;
    expect(() => encodeSafetensors({}, numbers)).toThrow(/metadata "epochs": is not a string/);
    expect(() => encodeSafetensors({}, { k: '\udc00' })).toThrow(/metadata "k": .*surrogate/);
  });
});

describe('reading safetensors', () => {
  it('reads what was written, whatever the names, shapes, dtypes and values', () => {
    const property = fc.property(
      anyTensors,
      fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })),
      (tensors, metadata) => {
        const file = decodeSafetensors(encodeSafetensors(tensors, metadata));

        expect(Object.keys(file.tensors).sort()).toEqual(Object.keys(tensors).sort());
        for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
          const read = file.tensors[name];
          expect([read.dtype, read.shape]).toEqual([dtype, shape]);
          expect(read.data.constructor).toBe(data.constructor);
          expect(bytesOf(read.data)).toEqual(bytesOf(data));
        }
        expect({ ...file.metadata }).toEqual({ ...metadata });
      },
    );
    fc.assert(property, { seed: 20260101, numRuns: 300 });
  });

  it('writes what it read byte for byte', () => {
    const property = fc.property(anyTensors, (tensors) => {
      const bytes = encodeSafetensors(tensors, { k: 'v' });
      const { tensors: read, metadata } = decodeSafetensors(bytes);
      expect(encodeSafetensors(read, metadata)).toEqual(bytes);
    });
    fc.assert(property, { seed: 20260102, numRuns: 100 });
  });

  it('gives views of aligned bytes, and equal copies of unaligned ones', () => {
    const written = encodeSafetensors({ w: { shape: [2], data: new Float64Array([0.1, -3]) } });
    expect(decodeSafetensors(written).tensors.w.data.buffer).toBe(written.buffer);

    for (const shift of [1, 2, 4]) {
      const received = Buffer.concat([Buffer.alloc(shift), written]).subarray(shift);
      const { data } = decodeSafetensors(received).tensors.w;
      expect(data).toEqual(new Float64Array([0.1, -3]));
      expect(data.byteOffset % 8).toBe(0);
    }
  });

  it('reads a header that was not padded, as other writers leave it', () => {
    const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
    for (const name of ['w', 'ww', 'www', 'wwww']) {
      const { data } = decodeSafetensors(fileOf(`{"${name}":${entry}}`, 4)).tensors[name];
      expect([...bytesOf(data)]).toEqual([1, 2, 3, 4]);
    }
  });

  it('reads tensors in the order of their data, wherever the header names them', () => {
    const file = fileOf(
      '{"late":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},\n\t"none":{"data_offsets":[2,2],"shape":[0,9],"dtype":"U8"},' +
        '"early":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}} \r\n',
      3,
    );
    const header = parseHeader(file.subarray(8, 8 + headerLength(file)), file.length);

    expect([...header.tensors.keys()]).toEqual(['early', 'none', 'late']);
    const { begin, end } = header.tensors.get('late')!;
    expect([...file.subarray(begin, end)]).toEqual([3]);
  });

  it('keeps names of Object.prototype as names', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    const tensors = Object.fromEntries(
      names.map((name, i) => [name, { shape: [], data: new Float32Array([i]) }]),
    );
    const metadata = JSON.parse('{"__proto__":"a","constructor":"b"}') as Record<string, string>;

    const file = decodeSafetensors(encodeSafetensors(tensors, metadata));

    expect(Object.keys(file.tensors)).toEqual(names);
    expect(Object.entries(file.metadata)).toEqual(Object.entries(metadata));
    names.forEach((name, i) => expect(file.tensors[name].data).toEqual(new Float32Array([i])));
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect('valueOf' in file.tensors).toBe(false);
  });
});
