/** Inner products of all pairs of rows. */
import type { Rows } from '../kernels.js';
import { STRETCH } from '../kernels.js';

type Dot = (a: Float32Array, b: Float32Array, from: number, to: number) => number;

export function gram(out: Float64Array, rows: Rows, precision: 'exact' | 'fast'): void {
  const K = rows.length;
  const dot = precision === 'exact' ? exactDot : fastDot;
  for (let i = 0; i < K; i++) {
    for (let j = 0; j <= i; j++) {
      const total = addStretches(out[i * K + j], rows[i], rows[j], dot);
      out[i * K + j] = total;
      out[j * K + i] = total;
    }
  }
}

function addStretches(before: number, a: Float32Array, b: Float32Array, dot: Dot): number {
  let total = before;
  for (let from = 0; from < a.length; from += STRETCH) {
    total += dot(a, b, from, Math.min(from + STRETCH, a.length));
  }
  return total;
}

/** The product of two float32 is exact in float64. */
function exactDot(a: Float32Array, b: Float32Array, from: number, to: number): number {
  let [even, odd] = [0, 0];
  for (let i = from; i < to; i += 2) even += a[i] * b[i];
  for (let i = from + 1; i < to; i += 2) odd += a[i] * b[i];
  return even + odd;
}

/** Rounded to float32 after every product and every sum, as a float32 unit does. */
function fastDot(a: Float32Array, b: Float32Array, from: number, to: number): number {
  const { fround } = Math;
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = from;
  for (; i + 4 <= to; i += 4) {
    s0 = fround(s0 + fround(a[i] * b[i]));
    s1 = fround(s1 + fround(a[i + 1] * b[i + 1]));
    s2 = fround(s2 + fround(a[i + 2] * b[i + 2]));
    s3 = fround(s3 + fround(a[i + 3] * b[i + 3]));
  }
  if (i < to) s0 = fround(s0 + fround(a[i] * b[i]));
  if (i + 1 < to) s1 = fround(s1 + fround(a[i + 1] * b[i + 1]));
  if (i + 2 < to) s2 = fround(s2 + fround(a[i + 2] * b[i + 2]));
  return s0 + s2 + (s1 + s3);
}
