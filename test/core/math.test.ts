import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exp, log, log2Ceil, pow, powerOfTwo, roundHalfEven } from '../../server/core/math.js';
import { randomStream } from '../../server/core/random.js';

/** Order of a float64 among all of them: neighbours differ by one. */
function ordinal(x: number): bigint {
  const bits = new BigInt64Array(new Float64Array([x]).buffer)[0];
  return bits < 0n ? -(bits & 0x7fffffffffffffffn) : bits;
}

/** Distance in units of the last place; 0 for the same number, NaN with NaN included. */
function ulps(a: number, b: number): number {
  if (Object.is(a, b)) return 0;
  if (Number.isNaN(a) || Number.isNaN(b)) return Infinity;
  const distance = ordinal(a) - ordinal(b);
  return Number(distance < 0n ? -distance : distance);
}

function worst(pairs: Iterable<readonly [number, number]>): number {
  let most = 0;
  for (const [a, b] of pairs) most = Math.max(most, ulps(a, b));
  return most;
}

const specials = [
  ...[0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 7, 1 + 2 ** -52, 1 - 2 ** -53, 1 + 2 ** -30],
  ...[2 ** 31, 2 ** 31 + 1, 2 ** 53, 2 ** 53 + 2, 2 ** 64, 2 ** 65, 1e300, 1e-300],
  ...[Number.MAX_VALUE, Number.MIN_VALUE, 2 ** -1022, 2 ** -1023 * 1.5, Infinity, NaN],
].flatMap((x) => [x, -x]);

describe('exp', () => {
  it('is within one unit in the last place of Math.exp wherever that is normal', () => {
    const random = randomStream(1, 'exp');
    const xs = Array.from({ length: 50_000 }, () => (random.uniform() - 0.5) * 1417);
    expect(worst(xs.map((x) => [exp(x), Math.exp(x)]))).toBeLessThanOrEqual(1);
    const small = xs.map((x) => x * 2 ** -(random.below(60) + 9));
    expect(worst(small.map((x) => [exp(x), Math.exp(x)]))).toBeLessThanOrEqual(1);
  });

  it('goes through the subnormal numbers to zero, and to infinity', () => {
    const xs = Array.from({ length: 2000 }, (_, i) => -708 - i * 0.02);
    expect(worst(xs.map((x) => [exp(x), Math.exp(x)]))).toBeLessThanOrEqual(1);
    expect(exp(709.782712893384)).toBe(1.7976931348622732e308);
    expect(exp(709.7827128933841)).toBe(Infinity);
    expect(exp(-745.1332191019412)).toBe(0);
    expect(exp(-745.133219101941)).toBe(Number.MIN_VALUE);
  });

  it('has the specials of Math.exp', () => {
    expect(worst(specials.map((x) => [exp(x), Math.exp(x)]))).toBeLessThanOrEqual(1);
    expect([exp(0), exp(-0), exp(Infinity), exp(-Infinity)]).toEqual([1, 1, Infinity, 0]);
    expect(exp(NaN)).toBeNaN();
  });

  // mpmath 1.3, 40 digits, rounded to float64.
  it.each([
    [1, 2.718281828459045],
    [-1, 0.36787944117144233],
    [0.1, 1.1051709180756477],
    [20.5, 799902177.4755054],
    [-100.25, 2.897198083210148e-44],
  ])('of %f is the correctly rounded value', (x, expected) => {
    expect(exp(x)).toBe(expected);
  });
});

describe('log', () => {
  it('is within one unit in the last place of Math.log over all exponents', () => {
    const random = randomStream(2, 'log');
    const xs = Array.from(
      { length: 50_000 },
      () => (1 + random.uniform()) * powerOfTwo(random.below(2045) - 1022),
    );
    expect(worst(xs.map((x) => [log(x), Math.log(x)]))).toBeLessThanOrEqual(1);
  });

  it('keeps its accuracy near one, where the result vanishes', () => {
    const random = randomStream(3, 'log');
    const xs = Array.from(
      { length: 20_000 },
      () => 1 + (random.uniform() - 0.5) * powerOfTwo(-random.below(53)),
    );
    expect(worst(xs.map((x) => [log(x), Math.log(x)]))).toBeLessThanOrEqual(1);
    expect(log(1 + 2 ** -52)).toBe(2 ** -52 - 2 ** -105);
  });

  it('has the specials of Math.log', () => {
    expect(worst(specials.map((x) => [log(x), Math.log(x)]))).toBeLessThanOrEqual(1);
    expect([log(1), log(0), log(-0), log(Infinity)]).toEqual([0, -Infinity, -Infinity, Infinity]);
    expect(log(-1)).toBeNaN();
  });

  // mpmath 1.3, 40 digits, rounded to float64.
  it.each([
    [0.3, -1.2039728043259361],
    [10, 2.302585092994046],
    [1.0000001, 9.999999505838704e-8],
    [5e-324, -744.4400719213812],
  ])('of %f is the correctly rounded value', (x, expected) => {
    expect(log(x)).toBe(expected);
  });

  it('undoes exp', () => {
    fc.assert(
      fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => {
        expect(log(exp(x))).toBeCloseTo(x, 12);
      }),
    );
  });
});

describe('pow', () => {
  it('is within two units in the last place of Math.pow', () => {
    const random = randomStream(4, 'pow');
    const pairs = Array.from({ length: 50_000 }, () => {
      const x = (1 + random.uniform()) * powerOfTwo(random.below(200) - 100);
      const y = (random.uniform() - 0.5) * 2 * (1000 / (1 + Math.abs(log(x))));
      return [x, y] as const;
    });
    expect(worst(pairs.map(([x, y]) => [pow(x, y), Math.pow(x, y)]))).toBeLessThanOrEqual(2);
  });

  it('has the specials of Math.pow for every pair of them', () => {
    const ys = [...specials, 1 / 3, -1 / 3, 1023, -1074, -1075, 5e-10, 2 ** 32 + 0.5];
    for (const x of specials) {
      for (const y of ys) {
        expect([x, y, ulps(pow(x, y), Math.pow(x, y)) <= 2]).toEqual([x, y, true]);
      }
    }
  });

  it('is exact for powers of two and small whole powers', () => {
    for (let n = -1074; n <= 1023; n++) expect(pow(2, n)).toBe(2 ** n);
    expect([pow(3, 4), pow(10, 15), pow(-2, 3), pow(-2, 2), pow(9, 0.5)]).toEqual([
      81, 1e15, -8, 4, 3,
    ]);
  });

  // mpmath 1.3, 40 digits, rounded to float64.
  it.each([
    [1.1, 10.5, 2.7203400420274986],
    [0.999, 12345, 0.000004324661796025634],
    [7, -0.5, 0.37796447300922725],
    [5e-324, 0.1, 4.6706622762338734e-33],
  ])('of %f and %f is the correctly rounded value', (x, y, expected) => {
    expect(ulps(pow(x, y), expected)).toBeLessThanOrEqual(1);
  });
});

describe('log2Ceil', () => {
  it('is exact on and around every power of two', () => {
    for (let k = -1074; k <= 1023; k++) expect(log2Ceil(2 ** k)).toBe(k);
    for (let k = -1021; k <= 1023; k++) {
      expect(log2Ceil(2 ** k * (1 + 2 ** -52))).toBe(k + 1);
      expect(log2Ceil(2 ** k * (1 - 2 ** -53))).toBe(k);
    }
    expect(log2Ceil(3 * 2 ** -1074)).toBe(-1072);
  });

  it('refuses what has no logarithm', () => {
    for (const x of [0, -0, -1, Infinity, NaN]) expect(() => log2Ceil(x)).toThrow(RangeError);
  });
});

describe('powerOfTwo and roundHalfEven', () => {
  it('are exact', () => {
    for (let k = -1022; k <= 1023; k++) expect(powerOfTwo(k)).toBe(2 ** k);
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999].map((x) => roundHalfEven(x))).toEqual([
      -2, -2, 0, 0, 2, 2, 2,
    ]);
    expect(roundHalfEven(2 ** 51 - 0.5)).toBe(2 ** 51);
  });
});
