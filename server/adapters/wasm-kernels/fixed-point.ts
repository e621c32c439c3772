/** The exact fold: tiles of the sums are copied in, rows go over them, and they are copied out. */
import { powerOfTwo } from '../../core/math.js';
import type { Kernels } from '../../core/kernels/kernels.js';
import { TILE } from '../../core/layout.js';
import type { KernelParts } from './memory.js';
import { GROUP } from './memory.js';

export function fixedPoint({
  memory: { memory, at, place },
  exports,
}: KernelParts): Pick<Kernels, 'fold' | 'merge' | 'finish'> {
  const { buffer } = memory;
  const first = new BigInt64Array(buffer, at.first, TILE);
  const second = new BigInt64Array(buffer, at.second, TILE);
  const result = new Float64Array(buffer, at.second, TILE);
  const factors = new Float64Array(buffer, at.factors, GROUP);
  return {
    fold(sum, offset, rows, weights, bits) {
      const length = rows[0]?.length ?? 0;
      const unit = powerOfTwo(bits);
      for (let from = 0; from < length; from += TILE) {
        const n = Math.min(TILE, length - from);
        const target = sum.subarray(offset + from, offset + from + n);
        first.set(target);
        for (let k = 0; k < rows.length; k += GROUP) {
          const group = rows.slice(k, k + GROUP);
          place(group, from, n);
          group.forEach((_, i) => (factors[i] = weights[k + i] * unit));
          exports.fold(at.first, n, at.pointers, at.factors, group.length);
        }
        target.set(first.subarray(0, n));
      }
    },
    merge(sum, other) {
      for (let from = 0; from < sum.length; from += TILE) {
        const target = sum.subarray(from, from + TILE);
        first.set(target);
        second.set(other.subarray(from, from + TILE));
        exports.merge(at.first, at.second, target.length);
        target.set(first.subarray(0, target.length));
      }
    },
    finish(out, terms, divisor, factor) {
      for (let from = 0; from < terms.length; from += TILE) {
        const tile = terms.subarray(from, from + TILE);
        first.set(tile);
        exports.finish(at.second, at.first, tile.length, divisor, factor);
        out.set(result.subarray(0, tile.length), from);
      }
    },
  };
}
