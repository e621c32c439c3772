import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FloatDtype } from '../../protocol/safetensors.js';
import { decodeFloats, encodeFloat } from '../../protocol/safetensors.js';

function bitsOf(dtype: 'F16' | 'BF16', value: number): number {
  const bytes = new Uint8Array(2);
  encodeFloat(dtype, new DataView(bytes.buffer), 0, value);
  return bytes[0] | (bytes[1] << 8);
}
function valueOf(dtype: 'F16' | 'BF16', bits: number): number {
  return decodeFloats(dtype, Uint8Array.of(bits & 0xff, bits >> 8))[0];
}

// From the definitions of the formats: sign, exponent and fraction written out.
const f16 = [
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -24],
  [0x03ff, 1023 * 2 ** -24],
  [0x0400, 2 ** -14],
  [0x3555, 0.333251953125],
  [0x3c00, 1],
  [0xc000, -2],
  [0x7bff, 65504],
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
] as const;
const bf16 = [
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -133],
  [0x0080, 2 ** -126],
  [0x3fc0, 1.5],
  [0xc000, -2],
  [0x4049, 3.140625],
  [0x7f7f, 255 * 2 ** 120],
  [0x7f80, Infinity],
] as const;

describe('half-width floats', () => {
  it.each(f16)('F16 %i is %d, and back', (bits, value) => {
    expect(valueOf('F16', bits)).toBe(value);
    expect(bitsOf('F16', value)).toBe(bits);
  });

  it.each(bf16)('BF16 %i is %d, and back', (bits, value) => {
    expect(valueOf('BF16', bits)).toBe(value);
    expect(bitsOf('BF16', value)).toBe(bits);
  });

  it.each<['F16' | 'BF16', number, number, string]>([
    ['F16', 1 + 2 ** -11, 0x3c00, 'a tie goes to the even one below'],
    ['F16', 1 + 3 * 2 ** -11, 0x3c02, 'a tie goes to the even one above'],
    ['F16', 1 + 2 ** -11 + 2 ** -40, 0x3c01, 'beyond a tie by less than a float32 could say'],
    ['F16', 2 - 2 ** -12, 0x4000, 'a carry into the exponent'],
    ['F16', 65519.99, 0x7bff, 'just under the middle between the greatest and 2^16'],
    ['F16', 65520, 0x7c00, 'the middle is infinity'],
    ['F16', -1e300, 0xfc00, 'far beyond'],
    ['F16', 2 ** -25, 0x0000, 'half of the least, a tie'],
    ['F16', 2 ** -25 * 1.001, 0x0001, 'more than half of the least'],
    ['F16', 1023.75 * 2 ** -24, 0x0400, 'from subnormal to normal'],
    ['F16', 5e-324, 0x0000, 'the least double'],
    ['BF16', 1 + 2 ** -8, 0x3f80, 'a tie goes to even'],
    ['BF16', 1 + 3 * 2 ** -8, 0x3f82, 'the other way'],
    ['BF16', -1e39, 0xff80, 'beyond the greatest'],
    ['BF16', 2 ** -134, 0x0000, 'half of the least'],
  ])('%s %d becomes the bits %i: %s', (dtype, value, bits) => {
    expect(bitsOf(dtype, value)).toBe(bits);
  });

  it.each(['F16', 'BF16'] as const)('every %s comes back with the same bits', (dtype) => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = valueOf(dtype, bits);
      if (!Number.isNaN(value)) expect(bitsOf(dtype, value)).toBe(bits);
    }
    expect(valueOf(dtype, bitsOf(dtype, NaN))).toBeNaN();
  });

  it.each(['F16', 'BF16'] as const)('%s takes the nearest of its numbers', (dtype) => {
    fc.assert(
      fc.property(fc.double({ min: -60000, max: 60000, noNaN: true }), (value) => {
        const bits = bitsOf(dtype, value);
        const off = Math.abs(valueOf(dtype, bits) - value);
        for (const near of [bits - 1, bits + 1]) {
          if ((near & 0x7fff) > 0x7b00 || (near & 0x8000) !== (bits & 0x8000)) continue;
          expect(Math.abs(valueOf(dtype, near) - value)).toBeGreaterThanOrEqual(off);
        }
      }),
    );
  });

  it.each<[FloatDtype, number]>([
    ['F32', Math.fround(0.1)],
    ['F64', 0.1],
  ])('%s is what typed arrays say', (dtype, value) => {
    const bytes = new Uint8Array(25);
    encodeFloat(dtype, new DataView(bytes.buffer, 1), 1, 0.1);
    const size = dtype === 'F32' ? 4 : 8;
    expect([...decodeFloats(dtype, bytes.subarray(1, 1 + 2 * size))]).toEqual([0, value]);
  });
});
