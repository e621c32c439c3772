import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createWasmKernels, wasmKernelsSupported } from '../../server/adapters/wasm-kernels.js';
import { emptyContribution, foldScale } from '../../server/core/kernels/fold.js';
import type { Check, Kernels, Rows } from '../../server/core/kernels/kernels.js';
import { STRETCH } from '../../server/core/kernels/kernels.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { TILE } from '../../server/core/layout.js';
import { randomStream } from '../../server/core/random.js';
import { rowsOf, shapes, value } from '../core/kernel-cases.js';

const wasm = createWasmKernels();
const both = [wasm, referenceKernels] as const;

const bitsOf = (x: Float32Array | Float64Array): unknown[] => [
  ...new Uint32Array(x.buffer, x.byteOffset, x.byteLength / 4),
];

/**
 * What both implementations leave in `out`, which starts as `start` says. Some of the rows are on
 * lease and the others outside, as a cache of tiles mixes them.
 */
function outcomes<T extends Float64Array | BigInt64Array>(
  rows: Rows,
  seed: number,
  start: () => T,
  run: (kernels: Kernels, out: T, rows: Rows) => void,
): [T, T] {
  const [ours, theirs] = both.map((kernels) => {
    const room = kernels.rows(rows.length, rows[0].length);
    rows.forEach((row, k) => room[k].set(row));
    const out = start();
    run(
      kernels,
      out,
      rows.map((row, k) => ((k + seed) % 3 === 0 ? row : room[k])),
    );
    kernels.release(room);
    return out;
  });
  return [ours, theirs];
}

describe('the WASM kernels equal the reference bit by bit', () => {
  it('run here', () => {
    expect(wasmKernelsSupported()).toBe(true);
  });

  it('fold', () => {
    fc.assert(
      fc.property(shapes, fc.nat(5), fc.integer({ min: -60, max: 200 }), (shape, offset, low) => {
        const { seed, count, length, kind } = shape;
        const rows = rowsOf(seed, count, length, kind);
        const random = randomStream(seed, 'weights');
        const weights = rows.map(() => random.uniform() * 2 ** random.below(17));
        const most = kind === 'huge' ? 128 : 1;
        const bits = kind === 'tiny' ? low : 50 - 17 - most;
        const [ours, theirs] = outcomes(
          rows,
          seed,
          () => BigInt64Array.from({ length: length + offset + 3 }, (_, i) => BigInt(i) << 40n),
          (kernels, sum, tiles) => kernels.fold(sum, offset, tiles, weights, bits),
        );
        expect(ours).toEqual(theirs);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('fold at every cap of a run, in both directions', () => {
    for (const caps of [
      { cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 },
      { cohortMax: 65536, weightMax: 3, deltaMax: 5 },
    ]) {
      const { termBits } = foldScale(caps);
      const { terms } = emptyContribution(5);
      const row = Float32Array.from([1, -1, 1, -1, 1], (sign) => sign * caps.deltaMax);
      const rows = Array.from({ length: caps.cohortMax }, () => row);
      wasm.fold(
        terms,
        0,
        rows,
        rows.map(() => caps.weightMax),
        termBits,
      );
      const term = BigInt(caps.weightMax * caps.deltaMax) << BigInt(termBits);
      const sum = term * BigInt(caps.cohortMax);
      expect([...terms]).toEqual([sum, -sum, sum, -sum, sum]);
      expect(sum <= 2n ** 62n).toBe(true);
    }
  });

  it('any split over two accumulators that are merged', () => {
    fc.assert(
      fc.property(shapes, fc.double({ min: 0, max: 1, noNaN: true }), (shape, share) => {
        const { seed, count, length, kind } = shape;
        const rows = rowsOf(seed, count, length, kind === 'huge' ? 'mixed' : kind);
        const weights = rows.map((_, k) => 1 + ((seed + 7 * k) % 1000));
        const cut = Math.floor(share * count);
        const whole = new BigInt64Array(length);
        referenceKernels.fold(whole, 0, rows, weights, 30);
        const [left, right] = [new BigInt64Array(length), new BigInt64Array(length)];
        wasm.fold(left, 0, rows.slice(cut).reverse(), weights.slice(cut).reverse(), 30);
        wasm.fold(right, 0, rows.slice(0, cut), weights.slice(0, cut), 30);
        wasm.merge(left, right);
        expect(left).toEqual(whole);
      }),
      { numRuns: 100, seed: 2 },
    );
  });

  it('merge and finish', () => {
    const words = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), {
      maxLength: 40,
    });
    const divisor = fc.double({ min: 2 ** -60, max: 2 ** 60, noNaN: true });
    fc.assert(
      fc.property(words, fc.nat(), divisor, (values, at, by) => {
        const terms = BigInt64Array.from(values);
        const other = terms.map((term, i) => BigInt.asIntN(64, term * BigInt(at + i)));
        const [ours, theirs] = both.map((kernels) => {
          const sum = terms.slice();
          kernels.merge(sum, other);
          const out = new Float64Array(sum.length);
          kernels.finish(out, sum, by, 0.3);
          return { sum, out: bitsOf(out) };
        });
        expect(ours).toEqual(theirs);
        expect(ours.sum).toEqual(terms.map((term, i) => BigInt.asIntN(64, term + other[i])));
      }),
      { numRuns: 300, seed: 3 },
    );
  });

  it('apply, keeping the sign of zeros that do not change', () => {
    fc.assert(
      fc.property(shapes, ({ seed, length, kind }) => {
        const [base] = rowsOf(seed, 1, length, kind);
        const random = randomStream(seed, 'delta');
        const delta = Float64Array.from({ length }, () => {
          const small = random.below(4) - 1;
          return small > 0 ? value(kind, random) : small * 0;
        });
        const [ours, theirs] = both.map((kernels) => {
          const out = new Float32Array(length);
          kernels.apply(out, base, delta);
          return bitsOf(out);
        });
        expect(ours).toEqual(theirs);
      }),
      { numRuns: 200, seed: 4 },
    );
  });

  it('check, wherever a vector is cut', () => {
    fc.assert(
      fc.property(shapes, fc.array(fc.nat(60), { maxLength: 4 }), (shape, cuts) => {
        const [x] = rowsOf(shape.seed, 1, shape.length, shape.kind);
        const whole = checked(referenceKernels, x, []);
        expect(checked(wasm, x, cuts)).toEqual(whole);
        expect(checked(referenceKernels, x, cuts)).toEqual(whole);
      }),
      { numRuns: 200, seed: 5 },
    );
    const odd = Float32Array.from([1, -Infinity, 0, NaN, 5, 6, NaN]);
    for (const x of [odd, odd.subarray(1, 3), odd.subarray(6)]) {
      expect(checked(wasm, x, []).maxAbs).toBe(checked(referenceKernels, x, []).maxAbs);
    }
  });

  it.each(['exact', 'fast'] as const)('gram, %s, wherever a vector is cut', (precision) => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const { seed, count, length } = shape;
        const rows = rowsOf(seed, count, length, shape.kind === 'huge' ? 'mixed' : shape.kind);
        const start = (): Float64Array => new Float64Array(count * count).fill(1 / 3);
        const [ours, theirs] = outcomes(rows, seed, start, (kernels, matrix, tiles) =>
          kernels.gram(matrix, tiles, precision),
        );
        expect(bitsOf(ours)).toEqual(bitsOf(theirs));
        const inParts = start();
        for (let at = 0; at < length; at += STRETCH) {
          wasm.gram(
            inParts,
            rows.map((row) => row.subarray(at, at + STRETCH)),
            precision,
          );
        }
        expect(bitsOf(inParts)).toEqual(bitsOf(theirs));
      }),
      { numRuns: 60, seed: 6 },
    );
  });

  it('rankMean, with ties and without', () => {
    const ends = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(50));
    fc.assert(
      fc.property(shapes, ends, fc.nat(3), (shape, [share, span], offset) => {
        const { seed, count, length, kind } = shape;
        const rows = rowsOf(seed, count, length, kind);
        const from = Math.min(count - 1, Math.floor(share * count));
        const window = { from, to: Math.min(count, from + 1 + span) };
        const taken = new Map<Kernels, Float64Array>();
        const [ours, theirs] = outcomes(
          rows,
          seed,
          () => new Float64Array(length + offset + 1).fill(7),
          (kernels, out, tiles) => {
            const counts = new Float64Array(count).fill(2);
            kernels.rankMean(out, offset, tiles, window, counts);
            taken.set(kernels, counts);
          },
        );
        expect(bitsOf(ours)).toEqual(bitsOf(theirs));
        expect(taken.get(wasm)).toEqual(taken.get(referenceKernels));
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  it('combine', () => {
    fc.assert(
      fc.property(shapes, fc.nat(5), (shape, offset) => {
        const { seed, count, length, kind } = shape;
        const rows = rowsOf(seed, count, length, kind);
        const coefficients = rows.map((_, k) => ((seed + k) % 4 === 0 ? 0 : (k - 3) / 7));
        const [ours, theirs] = outcomes(
          rows,
          seed,
          () => new Float64Array(length + offset + 2).fill(-0),
          (kernels, out, tiles) => kernels.combine(out, offset, tiles, coefficients),
        );
        expect(bitsOf(ours)).toEqual(bitsOf(theirs));
      }),
      { numRuns: 200, seed: 8 },
    );
  });

  it.each([
    [5, TILE - 1],
    [5, TILE],
    [5, 2 * TILE + 3],
    // More rows than are copied in at once, than a full tile of a network holds, than there is room for.
    [2500, 900],
    [4097, 5],
  ])('%i rows of %i elements, cut into tiles', (count, length) => {
    const rows = rowsOf(count + length, count, length, 'mixed');
    const [ours, theirs] = both.map((kernels) => everything(kernels, rows));
    ours.forEach((result, i) => expect(result).toEqual(theirs[i]));
  });

  it.each([
    [200, 10_300],
    [1100, 9],
  ])('a Gram matrix of %i rows of %i elements, made in parts', (count, length) => {
    const rows = rowsOf(count, count, length, 'mixed');
    const [ours, theirs] = both.map((kernels) => {
      const matrix = new Float64Array(count * count);
      kernels.gram(matrix, rows, 'exact');
      return Buffer.from(matrix.buffer);
    });
    expect(ours.equals(theirs)).toBe(true);
  });
});

function checked(kernels: Kernels, x: Float32Array, cuts: readonly number[]): Check {
  const found: Check = { squares: new Float64Array(4), maxAbs: 0 };
  const places = [...cuts, x.length].map((cut) => Math.min(cut, x.length)).sort((a, b) => a - b);
  let from = 0;
  for (const to of places) {
    kernels.check(found, from, x.subarray(from, to));
    from = to;
  }
  return found;
}

/** The results of all kernels that take vectors of any length. */
function everything(kernels: Kernels, rows: Rows): unknown[] {
  const { length } = rows[0];
  const weights = rows.map((_, k) => 1 + (k % 7));
  const sum = new BigInt64Array(length);
  kernels.fold(sum, 0, rows, weights, 20);
  const [means, mixed, finished] = [sum, sum, sum].map(() => new Float64Array(length));
  const taken = new Float64Array(rows.length);
  const window = { from: rows.length >> 2, to: rows.length - (rows.length >> 2) };
  kernels.rankMean(means, 0, rows, window, taken);
  kernels.combine(mixed, 0, rows, weights);
  const stepped = new Float32Array(length);
  kernels.apply(stepped, rows[0], mixed);
  kernels.finish(finished, sum, 3, 0.5);
  return [sum, means, taken, mixed, checked(kernels, rows[0], []), stepped, finished];
}

describe('room for rows', () => {
  it('belongs to who leased it until it is given back, and is used again then', () => {
    const kernels = createWasmKernels();
    const a = kernels.rows(32, TILE);
    const b = kernels.rows(32, TILE);
    a.forEach((row) => row.fill(1));
    b.forEach((row) => row.fill(2));
    expect(a.every((row) => row.every((x) => x === 1))).toBe(true);
    kernels.release(a);
    const c = kernels.rows(32, TILE);
    c.forEach((row) => row.fill(3));
    expect(b.every((row) => row.every((x) => x === 2))).toBe(true);
    kernels.release(b);
    kernels.release(c);
    expect(kernels.rows(1, 8)[0].byteOffset).toBe(a[0].byteOffset);
  });

  it('comes from elsewhere where there is no more, and works all the same', () => {
    const kernels = createWasmKernels();
    const leases = Array.from({ length: 20 }, () => kernels.rows(32, TILE));
    const buffers = new Set(leases.map(([row]) => row.buffer));
    expect(buffers.size).toBeGreaterThan(1);
    const rows = leases.map(([row]) => row.fill(0.25));
    const sum = new BigInt64Array(TILE);
    kernels.fold(
      sum,
      0,
      rows,
      rows.map(() => 2),
      1,
    );
    expect(sum.every((term) => term === 20n)).toBe(true);
  });

  it('may be empty', () => {
    expect(wasm.rows(0, 5)).toEqual([]);
    expect(wasm.rows(2, 0).map((row) => row.length)).toEqual([0, 0]);
    wasm.release([]);
  });
});
