/**
 * Seeded random streams, one per (seed, purpose, …): adding a draw for one purpose never shifts
 * another. xoshiro128** (Blackman and Vigna 2018), seeded by sha256 of the labels.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

export interface RandomStream {
  /** A whole number in [0, 2^32). */
  uint32(): number;
  /** A whole number in [0, bound), without modulo bias. @throws RangeError unless 1 <= bound <= 2^32 */
  below(bound: number): number;
  /** A number in [0, 1) with 53 random bits. */
  uniform(): number;
}

/** sha256 of the labels, each ended by a zero byte so that ("ab", "c") differs from ("a", "bc"). */
function digest(labels: readonly (string | number)[]): Uint8Array {
  return sha256(utf8ToBytes(labels.map((label) => `${label}\0`).join('')));
}

/** An id that follows from its labels: the same labels give the same 32 hex digits. */
export function derivedId(...labels: readonly (string | number)[]): string {
  return bytesToHex(digest(labels)).slice(0, 32);
}

export function randomStream(...labels: readonly (string | number)[]): RandomStream {
  const bytes = digest(labels);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let [a, b, c, d] = [0, 4, 8, 12].map((offset) => view.getUint32(offset, true));
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

  const uint32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result;
  };
  const below = (bound: number): number => {
    // No draw would ever be under the limit: the coordinator would stand still.
    if (!(bound >= 1 && bound <= 0x100000000)) throw new RangeError(`a draw below ${bound}`);
    const limit = 0x100000000 - (0x100000000 % bound);
    for (;;) {
      const draw = uint32();
      if (draw < limit) return draw % bound;
    }
  };
  const uniform = (): number =>
    ((uint32() >>> 5) * 0x4000000 + (uint32() >>> 6)) / 0x20000000000000;
  return { uint32, below, uniform };
}

/** A new array with the same items, Fisher-Yates. */
export function shuffled<T>(items: readonly T[], random: RandomStream): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
