import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Check } from '../../server/core/kernels/kernels.js';
import { STRETCH } from '../../server/core/kernels/kernels.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { rowsOf, shapes } from './kernel-cases.js';

const kernels = referenceKernels;
const rows = (...values: readonly (readonly number[])[]): Float32Array[] =>
  values.map((row) => Float32Array.from(row));

describe('the reference kernels, by hand', () => {
  it('gram adds every inner product, on both sides of the diagonal, to what is there', () => {
    for (const precision of ['exact', 'fast'] as const) {
      const matrix = new Float64Array(9).fill(10);
      kernels.gram(matrix, rows([1, 2, 3], [0.5, 0, -1], [4, -4, 0.25]), precision);
      expect([...matrix]).toEqual([24, 7.5, 6.75, 7.5, 11.25, 11.75, 6.75, 11.75, 42.0625]);
    }
  });

  it('gram is exact where float32 could not be: a product has 48 bits', () => {
    const [a] = rows([16777215, 1]);
    const exact = new Float64Array(1);
    kernels.gram(exact, [a], 'exact');
    expect(exact[0]).toBe(281474943156226); // 16777215^2 + 1
    const fast = new Float64Array(1);
    kernels.gram(fast, [a], 'fast');
    expect(fast[0]).toBe(281474943156224 + 1); // rounded to 2^48 - 2^25, and the other lane
  });

  it('a fast Gram matrix is within 1e-6 |a| |b| of the exact one', () => {
    fc.assert(
      fc.property(shapes, ({ seed, count, length }) => {
        const x = rowsOf(seed, count, length, 'ordinary');
        const [exact, fast] = [new Float64Array(count * count), new Float64Array(count * count)];
        kernels.gram(exact, x, 'exact');
        kernels.gram(fast, x, 'fast');
        for (let i = 0; i < count; i++) {
          for (let j = 0; j < count; j++) {
            const size = Math.sqrt(exact[i * count + i] * exact[j * count + j]);
            const error = Math.abs(fast[i * count + j] - exact[i * count + j]);
            expect(error).toBeLessThanOrEqual(1e-6 * size);
          }
        }
      }),
      { numRuns: 30, seed: 1 },
    );
  });

  it('gram has the same bits wherever whole stretches are cut off', () => {
    const x = rowsOf(3, 3, 3 * STRETCH + 17, 'mixed');
    for (const precision of ['exact', 'fast'] as const) {
      const [whole, parts] = [new Float64Array(9), new Float64Array(9)];
      kernels.gram(whole, x, precision);
      for (const [from, to] of [
        [0, 2 * STRETCH],
        [2 * STRETCH, x[0].length],
      ]) {
        const part = x.map((row) => row.subarray(from, to));
        kernels.gram(parts, part, precision);
      }
      expect([...parts]).toEqual([...whole]);
    }
  });

  it('rankMean is the mean over a window of ranks, equal values ranked by row', () => {
    const x = rows([3, 1, -0, 2], [1, 1, 0, 2], [2, 1, -0, 8], [9, 1, 5, 2]);
    const out = new Float64Array(6).fill(7);
    const taken = new Float64Array(4);
    kernels.rankMean(out, 1, x, { from: 1, to: 3 }, taken);
    expect([...out]).toEqual([7, 2.5, 1, 0, 2, 7]);
    // Rows at ranks 1 and 2: 2 and 0; 1 and 2; 1 and 2; 1 and 3.
    expect([...taken]).toEqual([1, 3, 3, 1]);
    expect(Object.is(out[3], 0)).toBe(true);
  });

  it('combine adds in float64, from an offset on, and reads no row whose coefficient is 0', () => {
    const out = Float64Array.from([1, 1, 1, 1]);
    kernels.combine(out, 1, rows([0.1, 0.2], [NaN, Infinity], [2, 4]), [3, 0, 0.5]);
    const [tenth, fifth] = [Math.fround(0.1), Math.fround(0.2)];
    expect([...out]).toEqual([1, 1 + 3 * tenth + 1, 1 + 3 * fifth + 2, 1]);
  });

  it('check sums squares by the index modulo 4, and finds what is not finite', () => {
    const found: Check = { squares: new Float64Array(4), maxAbs: 0 };
    kernels.check(found, 0, Float32Array.from([1, 2, -3]));
    kernels.check(found, 3, Float32Array.from([4, 5, -7]));
    expect([...found.squares]).toEqual([1 + 25, 4 + 49, 9, 16]);
    expect(found.maxAbs).toBe(7);
    kernels.check(found, 6, Float32Array.from([-Infinity]));
    expect(found.maxAbs).toBe(Infinity);
    kernels.check(found, 7, Float32Array.from([NaN, 1]));
    expect(found.maxAbs).toBe(NaN);
  });

  it('apply rounds once and leaves parameters alone that do not change', () => {
    const out = new Float32Array(4);
    kernels.apply(
      out,
      Float32Array.from([-0, 1, 0.1, 3]),
      Float64Array.from([0, 2 ** -25, -0, 0.5]),
    );
    expect(out).toEqual(Float32Array.from([-0, 1, 0.1, 3.5]));
  });

  it('finish divides, then multiplies, whatever the sign', () => {
    const out = new Float64Array(3);
    kernels.finish(out, BigInt64Array.from([-(2n ** 62n), 2n ** 53n + 1n, -3n]), 4, 0.5);
    expect([...out]).toEqual([-(2 ** 59), 2 ** 50, -0.375]);
    const sum = BigInt64Array.from([-1n, 0xffffffffn]);
    kernels.merge(sum, BigInt64Array.from([1n, 1n]));
    expect([...sum]).toEqual([0n, 2n ** 32n]);
  });
});
