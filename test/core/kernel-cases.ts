/** Rows that kernels must agree on bit by bit, whatever implements them. */
import fc from 'fast-check';
import { randomStream } from '../../server/core/random.js';

/** Ordinary values, every kind of small one, and both zeros; ties are common. */
export type Kind = 'ordinary' | 'ties' | 'tiny' | 'huge' | 'mixed';

const SPECIAL = [0, -0, 2 ** -149, -(2 ** -149), 2 ** -126, 1, -1, 0.5, -0.5, 3e-39];

export function value(kind: Kind, random: { uniform(): number; below(n: number): number }): number {
  const around = (random.uniform() - 0.5) * 2;
  switch (kind) {
    case 'ordinary':
      return around;
    case 'ties':
      return (random.below(5) - 2) / 4;
    case 'tiny':
      return (random.below(2 ** 21) - 2 ** 20) * 2 ** -149;
    case 'huge':
      return around * 3e38;
    case 'mixed':
      return random.below(3) > 0
        ? around * 2 ** (random.below(60) - 50)
        : SPECIAL[random.below(10)];
  }
}

/** `count` rows of `length` values each. */
export function rowsOf(seed: number, count: number, length: number, kind: Kind): Float32Array[] {
  const random = randomStream(seed, 'kernel-rows');
  return Array.from({ length: count }, () =>
    Float32Array.from({ length }, () => value(kind, random)),
  );
}

const kinds: readonly Kind[] = ['ordinary', 'ties', 'tiny', 'huge', 'mixed'];

/** Sizes around every limit of tiles, vectors and passes. */
export const shapes = fc.record({
  seed: fc.nat(1e6),
  count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(31, 64, 65, 100, 130)),
  length: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(255, 256, 511, 512, 513, 1030)),
  kind: fc.constantFrom(...kinds),
});
