import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TILE } from '../../server/core/layout.js';
import { nearestToMedian } from '../../server/core/rules/bulyan.js';
import { combinationRule } from '../../server/core/rules/families/combination.js';
import { twoClusters } from '../../server/core/rules/robust/average-linkage.js';
import {
  cosineDistances,
  distancesFrom,
  squaredDistances,
} from '../../server/core/rules/robust/geometry.js';
import { largestCluster } from '../../server/core/rules/robust/mean-shift.js';
import { topDirection } from '../../server/core/rules/robust/top-direction.js';
import { aggregate, context, layoutFor } from './round.js';

const table = (rows: readonly (readonly number[])[]): Float64Array[] =>
  rows.map((row) => Float64Array.from(row));
const onLine = (points: readonly number[]): Float64Array[] =>
  table(points.map((a) => points.map((b) => Math.abs(a - b))));
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, e) => sum + x * b[e], 0);
const products = (vectors: readonly (readonly number[])[]): Float64Array[] =>
  table(vectors.map((a) => vectors.map((b) => dot(a, b))));

describe('average linkage', () => {
  it('merges by the mean over all pairs, down to two clusters', () => {
    // 0 and 1 merge, then 2.4 joins them (mean 1.9, against 2.6 to 5); 5 and 9 are left at 4,
    // nearer than 5 to the three (3.87): no, 3.87 is nearer, so 9 stays alone.
    const { clusters, distance } = twoClusters(onLine([9, 0, 2.4, 5, 1]));
    expect(clusters).toEqual([[0], [1, 2, 3, 4]]);
    expect(distance).toBeCloseTo((9 + 6.6 + 4 + 8) / 4, 12);
  });

  it('leaves one point alone, and takes the first of equals', () => {
    expect(twoClusters(onLine([3]))).toEqual({ clusters: [[0]], distance: 0 });
    expect(twoClusters(onLine([3, 5]))).toEqual({ clusters: [[0], [1]], distance: 2 });
    expect(twoClusters(onLine([1, 1, 1, 1])).clusters).toEqual([[0, 1, 2], [3]]);
  });

  it('finds two groups that are far apart, whatever the order', () => {
    const group = fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(group, group, fc.boolean(), (near, far, turned) => {
        const points = [...near, ...far.map((x) => x + 1000)];
        const drawn = turned ? [...points].reverse() : points;
        const { clusters } = twoClusters(onLine(drawn));
        const isFar = clusters.map((members) => new Set(members.map((i) => drawn[i] >= 1000)).size);
        expect(isFar).toEqual([1, 1]);
        expect(clusters.flat().sort((a, b) => a - b)).toEqual([...drawn.keys()]);
      }),
      { seed: 2 },
    );
  });
});

describe('mean shift', () => {
  it('finds the largest of several clusters without being told how many', () => {
    const around = (x: number, count: number): number[][] =>
      Array.from({ length: count }, (_, i) => [x + i / 100, -x, 0]);
    expect(largestCluster([...around(5, 3), ...around(0, 6), ...around(9, 2)])).toEqual([
      3, 4, 5, 6, 7, 8,
    ]);
  });

  it('takes all of equal points, one point, and the first of equally large clusters', () => {
    expect(largestCluster([[0.1], [0.1], [0.1]])).toEqual([0, 1, 2]);
    expect(largestCluster([[0.3, 0.7]])).toEqual([0]);
    expect(largestCluster([[8], [0], [8.1], [0.1]])).toEqual([0, 2]);
  });

  it('takes two of three together that are near each other, whoever comes first', () => {
    expect(largestCluster([[9], [0], [0.5]])).toEqual([1, 2]);
    expect(largestCluster([[0], [9], [0.5]])).toEqual([0, 2]);
    expect(largestCluster([[0], [9]])).toEqual([0, 1]);
  });
});

describe('the top direction', () => {
  it('is that of the greatest variance about the mean', () => {
    // Along the first axis about 1: -4, 4, 0, 0; along the second -1, -1, 1, 1: 32 of 36.
    const { scores, share } = topDirection(
      products([
        [-3, 6],
        [5, 6],
        [1, 8],
        [1, 8],
      ]),
      [0, 1, 2, 3],
    );
    [16, 16, 0, 0].forEach((score, i) => expect(scores[i]).toBeCloseTo(score, 9));
    expect(share).toBeCloseTo(32 / 36, 12);
  });

  it('looks only at those that are asked for, and at none where all are equal', () => {
    const all = products([[0], [100], [2], [4]]);
    const { scores } = topDirection(all, [0, 2, 3]);
    [4, 0, 4].forEach((score, i) => expect(scores[i]).toBeCloseTo(score, 9));
    expect(topDirection(products([[3], [3]]), [0, 1])).toEqual({ scores: [0, 0], share: 0 });
  });
});

describe('geometry by inner products', () => {
  const vectors = [
    [3, 4],
    [0, 0],
    [-4, 3],
  ];

  it('gives distances between updates and from points of their span', () => {
    expect([...squaredDistances(products(vectors))[0]]).toEqual([0, 25, 50]);
    // v = [3, 4] / 2 + [-4, 3] / 2 = [-.5, 3.5]
    const [a, b, c] = distancesFrom([0.5, 0.3, 0.5], products(vectors));
    expect(a).toBeCloseTo(Math.sqrt(12.5), 12);
    expect(b).toBeCloseTo(Math.sqrt(12.5), 12);
    expect(c).toBeCloseTo(Math.sqrt(12.5), 12);
  });

  it('takes an update that is all zero for one without direction', () => {
    const [first, second] = cosineDistances(products(vectors));
    expect([...first]).toEqual([0, 1, 1]);
    expect([...second]).toEqual([1, 0, 1]);
  });
});

describe('the values nearest to the median', () => {
  it('stand side by side; of two equally far, the lower one stays', () => {
    const window = (values: number[], count: number) =>
      nearestToMedian(Float64Array.from(values), count);
    expect(window([0, 8, 9, 10, 30], 3)).toEqual({ from: 1, to: 4 });
    expect(window([1, 2, 3], 2)).toEqual({ from: 0, to: 2 });
    expect(window([-100, -90, 0, 1, 2], 3)).toEqual({ from: 2, to: 5 });
    expect(window([4, 4, 4, 4], 4)).toEqual({ from: 0, to: 4 });
  });
});

describe('signs', () => {
  it('are counted over all tiles and tensors, -0 as zero', async () => {
    const size = 2 * TILE + 5;
    const third = Array.from({ length: size }, (_, e) => [2 ** -140, -0, -3][e % 3]);
    const few = third.map((_, e) => (e === size - 1 ? -1 : 0));
    const seen: unknown[] = [];
    const rule = combinationRule({
      name: 'signs',
      paper: 'none',
      options: z.strictObject({}),
      needs: {},
      async combine(x) {
        seen.push(...(await x.signs()));
        return { model: 1, updates: [0, 0] };
      },
    });
    const layout = layoutFor(size, { a: TILE + 3, b: TILE + 2 });
    await aggregate(
      rule,
      [
        { clientId: 'b', delta: few },
        { clientId: 'a', delta: third },
      ],
      context(new Float32Array(size), {}, { layout }),
    );
    const count = Math.ceil(size / 3);
    expect(size % 3).toBe(1);
    expect(seen).toEqual([
      [count, count - 1, count - 1],
      [0, size - 1, 1],
    ]);
  });
});
