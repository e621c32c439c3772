import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDelta } from '../../server/core/apply.js';
import {
  addContribution,
  emptyContribution,
  finishFold,
  finishSum,
  foldScale,
  foldTile,
  weightSum,
  weightTerm,
} from '../../server/core/kernels/fold.js';
import type { Contribution, FoldScale } from '../../server/core/kernels/kernels.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { randomStream, shuffled } from '../../server/core/random.js';

/** The definition, in whole numbers: weight * x rounded to f64, times 2^bits, half to even. */
function term(weight: number, x: number, bits: number): bigint {
  const raw = new BigInt64Array(new Float64Array([weight * x]).buffer)[0];
  const biased = Number((raw >> 52n) & 0x7ffn);
  const fraction = raw & 0xfffffffffffffn;
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  const exponent = Math.max(biased, 1) - 1075 + bits;
  const size = exponent >= 0 ? mantissa << BigInt(exponent) : halfEven(mantissa, BigInt(-exponent));
  return raw < 0n ? -size : size;
}

/** n / 2^shift, half to even. */
function halfEven(n: bigint, shift: bigint): bigint {
  const floor = n >> shift;
  const rest = n - (floor << shift);
  const half = 1n << (shift - 1n);
  const up = rest > half || (rest === half && floor % 2n === 1n);
  return up ? floor + 1n : floor;
}

const defaults = foldScale({ cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 });

/** Every float32, subnormal ones too, up to a greatest size. */
const float32 = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true, min: -max, max }),
    fc.integer({ min: -(2 ** 20), max: 2 ** 20 }).map((n) => Math.fround(n * 2 ** -149)),
    fc.constantFrom(0, -0, max, -max, 2 ** -149, 2 ** -126),
  );

describe('foldScale', () => {
  it('is the scale of the design for the default caps', () => {
    expect(defaults).toEqual({
      cohortMax: 4096,
      weightMax: 2 ** 17,
      deltaMax: 8,
      termBits: 50 - 17 - 3,
      weightBits: 50 - 17,
    });
  });

  it.each([
    [{ cohortMax: 1, weightMax: 1, deltaMax: 1 }, 50, 50],
    [{ cohortMax: 4097, weightMax: 1, deltaMax: 1 }, 49, 49],
    [{ cohortMax: 65536, weightMax: 3, deltaMax: 0.3 }, 46 - 2 + 1, 46 - 2],
    [{ cohortMax: 65536, weightMax: 2 ** 40, deltaMax: 2 ** 20 }, 46 - 40 - 20, 46 - 40],
    [{ cohortMax: 100, weightMax: 0.25, deltaMax: 2 ** -10 }, 50 + 2 + 10, 52],
  ])('follows the formula for %o', (caps, termBits, weightBits) => {
    expect(foldScale(caps)).toMatchObject({ termBits, weightBits });
  });

  it.each([
    { cohortMax: 0, weightMax: 1, deltaMax: 1 },
    { cohortMax: 1, weightMax: NaN, deltaMax: 1 },
    { cohortMax: 1, weightMax: 1, deltaMax: Infinity },
    { cohortMax: 1, weightMax: 1e-300, deltaMax: 1e-300 },
  ])('refuses caps that no scale fits: %o', (caps) => {
    expect(() => foldScale(caps)).toThrow(expect.objectContaining({ code: 'bad_request' }));
  });
});

describe('the reference fold', () => {
  it('equals its definition in whole numbers, bit by bit', () => {
    const run = fc.record({
      weight: fc.oneof(
        fc.integer({ min: 0, max: 2 ** 17 }),
        fc.double({ min: 0, max: 2 ** 17, noNaN: true }),
        fc.constantFrom(Number.MIN_VALUE, 1e-300, 0.5, 1 / 3),
      ),
      x: fc.array(float32(8), { minLength: 1, maxLength: 20 }),
      before: fc.bigInt({ min: -(2n ** 61n), max: 2n ** 61n }),
      offset: fc.integer({ min: 0, max: 5 }),
    });
    fc.assert(
      fc.property(run, ({ weight, x, before, offset }) => {
        const sum = new BigInt64Array(x.length + offset + 2).fill(before);
        const expected = sum.map((value, i) => {
          const inside = i >= offset && i < offset + x.length;
          return inside
            ? value + term(weight, Math.fround(x[i - offset]), defaults.termBits)
            : value;
        });
        referenceKernels.fold(sum, offset, [Float32Array.from(x)], [weight], defaults.termBits);
        expect(sum).toEqual(expected);
      }),
      { numRuns: 2000, seed: 1 },
    );
  });

  it('equals its definition on other scales, negative ones too', () => {
    const caps = fc.record({
      cohortMax: fc.integer({ min: 1, max: 65536 }),
      weightMax: fc.double({ min: 2 ** -30, max: 2 ** 40, noNaN: true }),
      deltaMax: fc.double({ min: 2 ** -30, max: 2 ** 20, noNaN: true }),
    });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(caps, share, fc.array(share, { maxLength: 8 }), (c, w, shares) => {
        const { termBits, weightMax, deltaMax } = foldScale(c);
        const x = Float32Array.from(shares, (s, i) => (i % 2 ? -s : s) * deltaMax * (1 - 2 ** -24));
        const sum = new BigInt64Array(x.length);
        referenceKernels.fold(sum, 0, [x], [w * weightMax], termBits);
        expect([...sum]).toEqual([...x].map((v) => term(w * weightMax, v, termBits)));
      }),
      { numRuns: 1000, seed: 2 },
    );
  });

  it('rounds ties to even on both sides of zero', () => {
    const sum = new BigInt64Array(8);
    const x = Float32Array.from([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.5, -3.5]);
    referenceKernels.fold(sum, 0, [x], [1], 0);
    expect([...sum]).toEqual([0n, 2n, 2n, 0n, -2n, -2n, 4n, -4n]);
  });

  it('carries between the halves of a sum', () => {
    const sum = BigInt64Array.from([0xffffffffn, -1n, 0n, -0x100000000n, 0x7fffffffn]);
    referenceKernels.fold(sum, 0, [Float32Array.from([1, 1, -1, -1, 1])], [1], 0);
    expect([...sum]).toEqual([0x100000000n, 0n, -1n, -0x100000001n, 0x80000000n]);
  });

  it('does not overflow with every count, weight and value at its cap', () => {
    for (const caps of [
      { cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 },
      { cohortMax: 65536, weightMax: 3, deltaMax: 5 },
      { cohortMax: 2, weightMax: 1, deltaMax: 1 },
    ]) {
      const scale = foldScale(caps);
      const sum = emptyContribution(2);
      const tile = Float32Array.from([caps.deltaMax, -caps.deltaMax]);
      for (let i = 0; i < caps.cohortMax; i++) {
        foldTile(sum, 0, tile, caps.weightMax, scale, referenceKernels);
        sum.weight += weightTerm(caps.weightMax, scale);
      }
      const exact = BigInt(caps.cohortMax) * term(caps.weightMax, caps.deltaMax, scale.termBits);
      expect([...sum.terms]).toEqual([exact, -exact]);
      expect(exact <= 2n ** 62n).toBe(true);
      expect([...finishFold(sum, scale)]).toEqual([caps.deltaMax, -caps.deltaMax]);
    }
  });

  it('works on a part of a larger buffer', () => {
    const buffer = new ArrayBuffer(64);
    const sum = new BigInt64Array(buffer, 16, 3);
    referenceKernels.fold(sum, 1, [Float32Array.from([1, -1])], [2], 1);
    expect([...new BigInt64Array(buffer)]).toEqual([0n, 0n, 0n, 4n, -4n, 0n, 0n, 0n]);
  });
});

describe('merge', () => {
  it('adds 64-bit numbers, any order giving the same bits', () => {
    const words = fc.array(fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }), {
      minLength: 4,
      maxLength: 4,
    });
    fc.assert(
      fc.property(words, words, words, (a, b, c) => {
        const sum = BigInt64Array.from(a);
        referenceKernels.merge(sum, BigInt64Array.from(b));
        referenceKernels.merge(sum, BigInt64Array.from(c));
        expect([...sum]).toEqual(a.map((value, i) => value + b[i] + c[i]));
      }),
      { seed: 3 },
    );
  });

  it('refuses contributions of different sizes', () => {
    expect(() =>
      addContribution(emptyContribution(2), emptyContribution(3), referenceKernels),
    ).toThrow(/2 elements/);
  });
});

interface Folded {
  readonly x: Float32Array;
  readonly weight: number;
}

function cohort(seed: number, count: number, size: number): Folded[] {
  const random = randomStream(seed, 'cohort');
  return Array.from({ length: count }, () => ({
    x: Float32Array.from({ length: size }, () => (random.uniform() - 0.5) * 4),
    weight: 1 + random.below(1000),
  }));
}

function foldAll(updates: readonly Folded[], scale: FoldScale): Contribution {
  const sum = emptyContribution(updates[0].x.length);
  for (const { x, weight } of updates) {
    foldTile(sum, 0, x, weight, scale, referenceKernels);
    sum.weight += weightTerm(weight, scale);
    sum.count += 1;
  }
  return sum;
}

describe('a contribution', () => {
  it('has the same bits for any order of arrival and any split over replicas', () => {
    const updates = cohort(4, 31, 50);
    const whole = foldAll(updates, defaults);
    for (let seed = 0; seed < 10; seed++) {
      const order = shuffled(updates, randomStream(seed, 'order'));
      const cut = 1 + (seed % 30);
      const left = foldAll(order.slice(0, cut), defaults);
      addContribution(left, foldAll(order.slice(cut), defaults), referenceKernels);
      expect(left).toEqual(whole);
    }
  });

  it('finishes as (Number(sum) / Number(weights)) * 2^k, element by element', () => {
    const sum = foldAll(cohort(5, 20, 40), defaults);
    sum.terms[0] = 2n ** 62n - 1n;
    sum.terms[1] = -(2n ** 60n) - 1n;
    sum.terms[2] = 2n ** 53n + 1n;
    sum.terms[3] = 0n;
    const k = 2 ** (defaults.weightBits - defaults.termBits);
    expect([...finishFold(sum, defaults)]).toEqual(
      [...sum.terms].map((t) => (Number(t) / Number(sum.weight)) * k),
    );
    expect([...finishSum(sum, defaults, 0.3)]).toEqual(
      [...sum.terms].map((t) => Number(t) * 2 ** -defaults.termBits * 0.3),
    );
  });

  it('is within the resolution of the fold of the mean in float64', () => {
    const updates = cohort(6, 100, 200);
    const mean = finishFold(foldAll(updates, defaults), defaults);
    const total = updates.reduce((sum, { weight }) => sum + weight, 0);
    // Each of 100 terms is off by at most half a unit of 2^-30.
    const bound = (100 * 2 ** -31) / total + 1e-15;
    mean.forEach((value, e) => {
      const expected = updates.reduce((sum, { x, weight }) => sum + weight * x[e], 0) / total;
      expect(Math.abs(value - expected)).toBeLessThan(bound);
    });
  });

  it('without weight changes nothing', () => {
    const sum = foldAll([{ x: Float32Array.from([1, -2]), weight: 0 }], defaults);
    expect(weightSum(sum, defaults)).toBe(0);
    expect([...finishFold(sum, defaults)]).toEqual([0, 0]);
  });

  it('keeps weights that are not whole to 2^-weightBits, half to even', () => {
    expect(weightTerm(1 / 3, defaults)).toBe(2863311531n);
    expect(weightTerm(2.5, { ...defaults, weightBits: 0 })).toBe(2n);
    expect(weightTerm(3.5, { ...defaults, weightBits: 0 })).toBe(4n);
    expect(weightTerm(2 ** 17, defaults)).toBe(2n ** 50n);
  });
});

describe('applyDelta', () => {
  it('rounds once, and keeps the bits of what does not change', () => {
    const model = Float32Array.from([-0, 0, 0.1, 1, 16777216]);
    const after = applyDelta(model, Float64Array.from([0, -0, 0, 2 ** -25, 1.0000001]));
    expect([...after].map((x, i) => [Object.is(x, model[i]), x])).toEqual([
      [true, -0],
      [true, 0],
      [true, Math.fround(0.1)],
      [true, 1],
      [false, 16777218],
    ]);
    expect([...model]).toEqual([-0, 0, Math.fround(0.1), 1, 16777216]);
  });

  it('refuses a model that would not be finite, naming the parameter', () => {
    const model = Float32Array.from([0, 3e38]);
    for (const delta of [1e38, Infinity, NaN]) {
      expect(() => applyDelta(model, Float64Array.from([0, delta]))).toThrow(
        expect.objectContaining({
          code: 'not_finite',
          message: expect.stringContaining('parameter 1') as string,
        }),
      );
    }
    expect(() => applyDelta(model, new Float64Array(3))).toThrow(/3 and 2/);
  });
});
