/**
 * Elementary functions by pure arithmetic. `Math.exp`, `Math.log` and `Math.pow` may differ in the
 * last bit from engine to engine; these give the same bits wherever float64 follows IEEE 754.
 */
import { LEAST_NORMAL, highWord, lowWord, powerOfTwo } from './math/bits.js';

export { powerOfTwo, scaled } from './math/bits.js';
export { exp, log } from './math/exp-log.js';
export { pow } from './math/pow.js';

/** The least whole number k with x <= 2^k, for finite x > 0. Exact: it reads the exponent's bits. */
export function log2Ceil(x: number): number {
  if (!(x > 0 && x < Infinity)) throw new RangeError(`log2Ceil: ${x} is not a positive number`);
  const lifted = x < LEAST_NORMAL ? 54 : 0;
  const normal = lifted ? x * powerOfTwo(54) : x;
  const high = highWord(normal);
  const isPower = (high & 0xfffff) === 0 && lowWord(normal) === 0;
  return (high >> 20) - 1023 - lifted + (isPower ? 0 : 1);
}

/** The whole number nearest to x, ties to even, for |x| <= 2^51. */
export function roundHalfEven(x: number): number {
  const SHIFT = 6755399441055744; // 2^52 + 2^51: here, one ulp is one
  return x + SHIFT - SHIFT;
}
