/**
 * Seeded randomness of the client: which example is in which batch, and what dropout drops.
 * Integer arithmetic only, so that a seed means the same in every engine.
 */

/** The next number of a stream, uniform in [0, 1) with 32 random bits. */
export type Random = () => number;

/**
 * A stream of its own for every pair of seed and purpose, so that drawing more for one purpose does
 * not move another. xoshiro128** (Blackman and Vigna 2018), its state filled by splitmix32.
 *
 * @param seed any whole number up to 2^53.
 */
export function randomStream(seed: number, purpose: string): Random {
  let fill = hash(purpose, (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1));
  const state = Uint32Array.from({ length: 4 }, () => {
    fill = (fill + 0x9e3779b9) | 0;
    return mix(fill);
  });
  return () => {
    const [, s1] = state;
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    state[2] ^= state[0];
    state[3] ^= s1;
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= s1 << 9;
    state[3] = rotate(state[3], 11);
    return result / 2 ** 32;
  };
}

/** Fisher-Yates, in place. */
export function shuffle(items: Int32Array, random: Random): Int32Array {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const moved = items[i];
    items[i] = items[j];
    items[j] = moved;
  }
  return items;
}

/**
 * Calls `work` with `Math.random` replaced by a seeded stream. TF.js layers has no other way in:
 * noise layers and the dropout of recurrent layers take their seeds from `Math.random`. `work` must
 * be synchronous, so that nobody else on this thread sees the replacement.
 */
export function withSeededMathRandom<T>(random: Random, work: () => T): T {
  const original = Math.random;
  Math.random = random;
  try {
    return work();
  } finally {
    Math.random = original;
  }
}

/** A seed for TF.js: it takes 0 for "no seed", so this is 1 to 2^31. */
export function tensorSeed(seed: number, purpose: string): number {
  return 1 + Math.floor(randomStream(seed, purpose)() * 0x7fffffff);
}

/** FNV-1a over UTF-16 code units. */
function hash(text: string, start: number): number {
  let value = start ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return mix(value);
}

function mix(value: number): number {
  let z = value | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

function rotate(value: number, bits: number): number {
  return ((value << bits) | (value >>> (32 - bits))) >>> 0;
}
