/** What the rows of a bench hold. */
import { randomStream } from '../server/core/random.js';

/** Values around +-1/4 without a pattern; making a billion good random numbers would take minutes. */
export function fill(row: Float32Array, k: number): void {
  const random = randomStream(1, 'bench', k);
  const base = Float32Array.from({ length: 4099 }, () => random.uniform() - 0.5);
  for (let at = 0; at < row.length; at += base.length) {
    row.set(base.subarray(0, Math.min(base.length, row.length - at)), at);
    base.forEach((value, i) => (base[i] = value > 0 ? value - 0.2501 : 0.2499 - value));
  }
}
