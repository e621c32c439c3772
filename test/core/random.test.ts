/** Held against the generator written down once more, with BigInt, from Blackman and Vigna's C code. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RandomStream } from '../../server/core/random.js';
import { derivedId, randomStream, shuffled } from '../../server/core/random.js';

const WORD = 0xffffffffn;

function sha256(labels: readonly (string | number)[]): Buffer {
  const hash = createHash('sha256');
  for (const label of labels) hash.update(String(label)).update(Buffer.of(0));
  return hash.digest();
}

function* reference(labels: readonly (string | number)[]): Generator<number, never> {
  const seed = sha256(labels);
  const s = [0, 4, 8, 12].map((offset) => BigInt(seed.readUInt32LE(offset)));
  const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & WORD;
  for (;;) {
    yield Number((rotl((s[1] * 5n) & WORD, 7n) * 9n) & WORD);
    const t = (s[1] << 9n) & WORD;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 11n);
  }
}

function take<T>(count: number, next: () => T): T[] {
  return Array.from({ length: count }, next);
}

const labels = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer()), { maxLength: 4 });

describe('a random stream', () => {
  it('is xoshiro128**, seeded by the sha256 of its labels', () => {
    fc.assert(
      fc.property(labels, (given) => {
        const stream = randomStream(...given);
        const expected = reference(given);
        expect(take(20, () => stream.uint32())).toEqual(take(20, () => expected.next().value));
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it('tells labels apart by where they end, but not numbers from their digits', () => {
    const first = (...given: (string | number)[]): number => randomStream(...given).uint32();
    expect(first('ab', 'c')).not.toBe(first('a', 'bc'));
    expect(first('a')).not.toBe(first('a', ''));
    expect(first('round', 12)).toBe(first('round', '12'));
  });

  it('is not shifted by draws for another purpose', () => {
    const [cohort, noise] = [randomStream(7, 'cohort', 1), randomStream(7, 'noise', 1)];
    const undisturbed = take(5, () => cohort.uint32());
    const again = randomStream(7, 'cohort', 1);
    const disturbed = take(5, () => {
      noise.uint32();
      return again.uint32();
    });
    expect(disturbed).toEqual(undisturbed);
  });

  it('gives uniform numbers of 53 bits, from two draws each', () => {
    const stream = randomStream('uniform');
    const expected = reference(['uniform']);
    for (let i = 0; i < 1000; i++) {
      const [high, low] = [expected.next().value >>> 5, expected.next().value >>> 6];
      const value = stream.uniform();
      expect(value).toBe((high * 2 ** 26 + low) / 2 ** 53);
      expect(value).toBeLessThan(1);
    }
  });

  it('draws below a bound without a bias', () => {
    const stream = randomStream('below');
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[stream.below(6)]++;
    // Five standard deviations of a fair die.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(460);
    // Where three quarters of the words are taken, the plain remainder would show: two to one.
    const halves = [0, 0];
    for (let i = 0; i < 10_000; i++) halves[stream.below(3 * 2 ** 30) < 2 ** 30 ? 0 : 1]++;
    expect(halves[0] / 10_000).toBeCloseTo(1 / 3, 1);
  });

  it('draws below 1 and below 2^32, and refuses bounds that no draw is under', () => {
    const stream = randomStream('bounds');
    expect(take(5, () => stream.below(1))).toEqual([0, 0, 0, 0, 0]);
    expect(stream.below(2 ** 32)).toBeLessThan(2 ** 32);
    for (const bound of [0, -1, NaN, 2 ** 32 + 1, Infinity]) {
      expect(() => stream.below(bound)).toThrow(RangeError);
    }
  });
});

describe('derived ids', () => {
  it('are the first half of the sha256 of their labels', () => {
    const id = derivedId('assignment', 'run-1', 3, 1, 'train', 'ada');
    expect(id).toBe(sha256(['assignment', 'run-1', 3, 1, 'train', 'ada']).toString('hex', 0, 16));
    expect(id).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('shuffling', () => {
  it('keeps every item once and leaves the original alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { maxLength: 50 }), fc.integer(), (items, seed) => {
        const before = [...items];
        const result = shuffled(items, randomStream(seed));
        expect([...result].sort()).toEqual([...items].sort());
        expect(items).toEqual(before);
      }),
      { seed: 2, numRuns: 100 },
    );
  });

  it('brings every item to every place equally often', () => {
    const stream: RandomStream = randomStream('places');
    const places = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
    for (let i = 0; i < 8000; i++) {
      shuffled([0, 1, 2, 3], stream).forEach((item, place) => places[item][place]++);
    }
    for (const count of places.flat()) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });
});
