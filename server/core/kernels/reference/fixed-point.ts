/** The exact fold in 64-bit fixed point. */
import { powerOfTwo } from '../../math.js';
import type { Rows } from '../kernels.js';

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

export function fold(
  sum: BigInt64Array,
  offset: number,
  rows: Rows,
  weights: readonly number[],
  bits: number,
): void {
  rows.forEach((x, k) => foldRow(sum, offset, x, weights[k] * powerOfTwo(bits)));
}

/**
 * |factor * x| must stay under 2^51: the run's caps see to it. The factor is weight * 2^bits, which
 * gives the same bits as shifting each product because it only changes exponents.
 */
function foldRow(sum: BigInt64Array, offset: number, x: Float32Array, factor: number): void {
  const target = halves(sum);
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

export function merge(sum: BigInt64Array, other: BigInt64Array): void {
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

/** From the halves: high * 2^32 is exact, so the number is rounded once, as Number() rounds. */
export function finish(
  out: Float64Array,
  terms: BigInt64Array,
  divisor: number,
  factor: number,
): void {
  const source = halves(terms);
  for (let i = 0; i < terms.length; i++) {
    const term = source[2 * i + HIGH] * 0x100000000 + (source[2 * i + LOW] >>> 0);
    out[i] = (term / divisor) * factor;
  }
}
