/**
 * The kernels in plain TypeScript: what every faster implementation is compared with, bit by bit.
 */
import { powerOfTwo } from '../math.js';
import type { Kernels } from './kernels.js';

/** Adding 2^52 + 2^51 rounds to a whole number, half to even, and leaves it in the low bits. */
const SHIFT = 6755399441055744;
/** Upper half of the bits of SHIFT: what stands above the whole number afterwards. */
const SHIFT_HIGH = 0x43380000;

const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const LOW = isLittleEndian ? 0 : 1;
const HIGH = 1 - LOW;

const word = new Float64Array(1);
const wordHalves = new Int32Array(word.buffer);

/** The 64-bit numbers as pairs of 32-bit halves: BigInt arithmetic would be fifty times slower. */
function halves(sum: BigInt64Array): Int32Array {
  return new Int32Array(sum.buffer, sum.byteOffset, sum.length * 2);
}

/** Carry out of the 32-bit sum `total = a + b`. */
function carry(a: number, b: number, total: number): number {
  return ((a & b) | ((a | b) & ~total)) >>> 31;
}

/**
 * |weight * x * 2^bits| must stay under 2^51: the run's caps see to it. The power of two is moved
 * onto the weight, which gives the same bits because it only shifts exponents.
 */
function fold(
  sum: BigInt64Array,
  offset: number,
  x: Float32Array,
  weight: number,
  bits: number,
): void {
  const target = halves(sum);
  const factor = weight * powerOfTwo(bits);
  let at = offset * 2;
  for (let i = 0; i < x.length; i++, at += 2) {
    word[0] = factor * x[i] + SHIFT;
    const low = wordHalves[LOW];
    const high = wordHalves[HIGH] - SHIFT_HIGH;
    const before = target[at + LOW];
    const total = (before + low) | 0;
    target[at + LOW] = total;
    target[at + HIGH] += high + carry(before, low, total);
  }
}

function merge(sum: BigInt64Array, other: BigInt64Array): void {
  const target = halves(sum);
  const source = halves(other);
  for (let at = 0; at < target.length; at += 2) {
    const before = target[at + LOW];
    const low = source[at + LOW];
    const total = (before + low) | 0;
    target[at + LOW] = total;
    target[at + HIGH] += source[at + HIGH] + carry(before, low, total);
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}

/** Four dot products at a time: each waits for its own last addition, so four fill the pipeline. */
function fourDots(a: Float32Array, b: readonly Float32Array[], j: number): readonly number[] {
  const [b0, b1, b2, b3] = [b[j], b[j + 1], b[j + 2], b[j + 3]];
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const x = a[i];
    s0 += x * b0[i];
    s1 += x * b1[i];
    s2 += x * b2[i];
    s3 += x * b3[i];
  }
  return [s0, s1, s2, s3];
}

function gram(out: Float64Array, rows: readonly Float32Array[]): void {
  const K = rows.length;
  const add = (i: number, j: number, total: number): void => {
    out[i * K + j] += total;
    if (j !== i) out[j * K + i] += total;
  };
  for (let i = 0; i < K; i++) {
    let j = 0;
    for (; j + 4 <= i + 1; j += 4) {
      fourDots(rows[i], rows, j).forEach((total, k) => add(i, j + k, total));
    }
    for (; j <= i; j++) add(i, j, dot(rows[i], rows[j]));
  }
}

function axpy(out: Float64Array, offset: number, x: Float32Array, coefficient: number): void {
  for (let i = 0; i < x.length; i++) out[offset + i] += coefficient * x[i];
}

export const referenceKernels: Kernels = { fold, merge, gram, axpy };
