import { describe, expect, it } from 'vitest';
import cases from '../fixtures/rules/robust.json' with { type: 'json' };
import type { LossOracle } from '../../server/core/ports.js';
import { randomStream } from '../../server/core/random.js';
import { findRule } from '../../server/core/rules/index.js';
import type { Aggregated } from './round.js';
import { aggregateWith } from './round.js';
import { bowls } from './support/bowls.js';
import { updatesOf } from './support/updates.js';

function run(
  rule: string,
  options: object,
  deltas: readonly (readonly number[])[],
  more: { examples?: readonly number[]; model?: readonly number[]; oracle?: LossOracle } = {},
): Promise<Aggregated> {
  const model = more.model ?? deltas[0].map(() => 0);
  const { oracle = null } = more;
  return aggregateWith(findRule(rule), options, model, updatesOf(deltas, more.examples), {
    oracle,
  });
}

describe('robust rules in Gram space', () => {
  // test/fixtures/rules/make-robust.py
  it.each(
    cases.map((c, i) => [`${c.rule} ${JSON.stringify(c.options)} ${c.kind} ${i}`, c] as const),
  )('equal a direct computation on full vectors: %s', async (_, c) => {
    const oracle = c.targets ? { oracle: bowls(c.targets) } : {};
    const model = c.model ? { model: c.model } : {};
    const after = await run(c.rule, c.options, c.deltas, {
      examples: c.examples,
      ...oracle,
      ...model,
    });
    const digits = c.rule === 'fltrust' ? 5 : 9;
    after.delta.forEach((value, e) => expect(value).toBeCloseTo(c.expected[e], digits));
    expect(Object.keys(after.weights)).toHaveLength(c.deltas.length);
    if (c.rule === 'bulyan') return;
    const weighed = c.deltas.reduce(
      (sum, delta, i) => sum.map((x, e) => x + Object.values(after.weights)[i] * delta[e]),
      after.delta.map(() => 0),
    );
    weighed.forEach((value, e) => expect(value).toBeCloseTo(after.delta[e], 12));
  });
});

describe('Krum and Multi-Krum', () => {
  const deltas = [[0], [1], [1.25], [1.5], [20], [1.125]];

  it('take who is nearest to its n - f - 2 nearest, and say who that was', async () => {
    // f = 1: three neighbours. 1.25: 1/64 + 1/16 + 1/16 = .140625; 1.125: 1/64 + 1/64 + 9/64.
    const { delta, weights, diagnostics } = await run('krum', {}, deltas);
    expect([...delta]).toEqual([1.25]);
    expect(weights).toEqual({ c00: 0, c01: 0, c02: 1, c03: 0, c04: 0, c05: 0 });
    expect(diagnostics).toMatchObject({
      attackers: 1,
      selected: 1,
      dropped: 5,
      scoreLowest: 0.140625,
    });
    const five = await run('multi-krum', {}, deltas);
    expect(five.delta[0]).toBeCloseTo((0 + 1 + 1.25 + 1.5 + 1.125) / 5, 14);
    expect(five.diagnostics).toMatchObject({ selected: 5, dropped: 1 });
    expect(five.diagnostics.scoreHighest).toBeCloseTo(18.5 ** 2 + 18.75 ** 2 + 18.875 ** 2, 10);
  });

  it('take the first by id of those with equal scores', async () => {
    const { weights } = await run('krum', { attackers: 0 }, [[1], [1], [2], [2]]);
    expect(weights).toEqual({ c00: 1, c01: 0, c02: 0, c03: 0 });
  });

  it('are the mean with m = n, and with no attackers', async () => {
    const random = randomStream(1, 'multi-krum');
    const many = Array.from({ length: 9 }, () =>
      Array.from({ length: 5 }, () => Math.fround(random.uniform() - 0.5)),
    );
    const examples = many.map((_, i) => 3 + i);
    const whole = await run('multi-krum', { attackers: 0 }, many);
    const all = await run('multi-krum', { attackers: 3, select: 9 }, many);
    expect(all.delta).toEqual(whole.delta);
    const uniform = await run('uniform', {}, many);
    expect(all.weights).toEqual(uniform.weights);
    uniform.delta.forEach((value, e) => expect(all.delta[e]).toBeCloseTo(value, 12));
    const counted = await run('multi-krum', { attackers: 0, weights: 'examples' }, many, {
      examples,
    });
    const fedavg = await run('fedavg', {}, many, { examples });
    expect(counted.weights).toEqual(fedavg.weights);
    fedavg.delta.forEach((value, e) => expect(counted.delta[e]).toBeCloseTo(value, 12));
    const bulyan = await run('bulyan', { attackers: 0 }, many);
    uniform.delta.forEach((value, e) => expect(bulyan.delta[e]).toBeCloseTo(value, 12));
  });
});

describe('Bulyan', () => {
  it('averages the values nearest to the median of those that Krum picked', async () => {
    // n = 7, f = 1: five picks, three values a coordinate. 9 and -30 are never among them.
    const deltas = [[1], [1.25], [1.5], [9], [1.75], [2], [-30]];
    const { delta, weights, diagnostics } = await run('bulyan', { attackers: 1 }, deltas);
    expect(delta[0]).toBeCloseTo((1.25 + 1.5 + 1.75) / 3, 14);
    expect(weights).toEqual({
      c00: 0,
      c01: expect.closeTo(1 / 3, 14) as number,
      c02: expect.closeTo(1 / 3, 14) as number,
      c03: 0,
      c04: expect.closeTo(1 / 3, 14) as number,
      c05: 0,
      c06: 0,
    });
    expect(diagnostics).toEqual({ attackers: 1, selected: 5, dropped: 2, averaged: 3 });
  });

  it('holds a single coordinate that Krum lets through', async () => {
    const size = 50;
    const honest = Array.from({ length: 9 }, (_, i) =>
      Array.from({ length: size }, (_, e) => (((i * 7 + e * 3) % 11) - 5) / 8),
    );
    // As near as the others by distance, but all of it in the first coordinate.
    const hidden = Array.from({ length: size }, (_, e) => (e === 0 ? 3 : 0));
    const deltas = [...honest, hidden, hidden];
    const krum = await run('krum', { attackers: 2 }, deltas);
    const bulyan = await run('bulyan', { attackers: 2 }, deltas);
    expect(krum.delta[0]).toBe(3);
    expect(Math.abs(bulyan.delta[0])).toBeLessThanOrEqual(5 / 8);
  });
});

describe('the geometric median', () => {
  it('stays with two of three points that agree, wherever the third is', async () => {
    const { delta, weights } = await run('geometric-median', { iterations: 40 }, [
      [1, 1],
      [1, 1],
      [7, -5],
    ]);
    expect([...delta].map((x) => Math.round(x * 1e4) / 1e4)).toEqual([1, 1]);
    expect(weights.c02).toBeLessThan(1e-5);
  });

  it('minimises the sum of distances', async () => {
    // The Fermat point of a triangle whose sides are seen from it at 120 degrees: the centre.
    const height = Math.fround(Math.sqrt(3) / 2);
    const { delta, diagnostics } = await run('geometric-median', { iterations: 60 }, [
      [1, 0],
      [-0.5, height],
      [-0.5, -height],
    ]);
    expect(delta[0]).toBeCloseTo(0, 6);
    expect(delta[1]).toBeCloseTo(0, 6);
    expect(diagnostics.meanDistance).toBeCloseTo(1, 6);
  });
});

describe('centered clipping', () => {
  it('moves by tau at most for each client', async () => {
    const deltas = [[1], [1], [1], [-200]];
    const { delta, diagnostics } = await run(
      'centered-clipping',
      { tau: 2, iterations: 1 },
      deltas,
    );
    expect(delta[0]).toBe((1 + 1 + 1 - 2) / 4);
    expect(diagnostics).toEqual({ tau: 2, medianDistance: 1, clippedShare: 0.25 });
    const twice = await run('centered-clipping', { tau: 2, iterations: 2 }, deltas);
    expect(twice.delta[0]).toBe(0.25 + (3 * 0.75 - 2) / 4);
  });

  it('is the mean where tau clips nobody', async () => {
    const { delta, weights } = await run('centered-clipping', {}, [[1], [2], [6]]);
    expect(delta[0]).toBeCloseTo(3, 14);
    expect(weights.c01).toBeCloseTo(1 / 3, 14);
  });

  it('finds its own tau as the median distance to the centre', async () => {
    // From 0: distances 1, 2, 50, tau 2, v = (1 + 2 + 2) / 3; then 2/3, 1/3, 48 1/3, tau 2/3.
    const { delta, diagnostics } = await run(
      'centered-clipping',
      { tau: 'median', iterations: 2 },
      [[1], [2], [50]],
    );
    expect(delta[0]).toBeCloseTo(5 / 3 + (-2 / 3 + 1 / 3 + 2 / 3) / 3, 12);
    expect(diagnostics.tau).toBeCloseTo(2 / 3, 12);
  });
});

describe('FLTrust', () => {
  const oracle = bowls([[4, 0]]);
  const options = { learningRate: 0.25 };

  it('gives every direction its cosine to the root update, and the length of that', async () => {
    // D_0 = [1, 0]. Trust 1, sqrt(1/2), 0, 0.
    const deltas = [
      [8, 0],
      [0.5, 0.5],
      [-1, 0],
      [0, 3],
    ];
    const { delta, weights, diagnostics } = await run('fltrust', options, deltas, { oracle });
    const [t1, t2] = [1, Math.SQRT1_2];
    expect(delta[0]).toBeCloseTo((t1 + t2 * Math.SQRT1_2) / (t1 + t2), 6);
    expect(delta[1]).toBeCloseTo((t2 * Math.SQRT1_2) / (t1 + t2), 6);
    expect(weights.c00).toBeCloseTo(1 / (1 + t2) / 8, 6);
    expect([weights.c02, weights.c03]).toEqual([0, 0]);
    expect(diagnostics).toMatchObject({ trusted: 2, rootNorm: 1 });
    expect(diagnostics.medianNorm).toBe(2);
  });

  it('keeps the model where nobody is trusted, and where the root data teach nothing', async () => {
    const opposed = await run(
      'fltrust',
      options,
      [
        [-1, 0],
        [-2, 1],
      ],
      { oracle },
    );
    expect([...opposed.delta]).toEqual([0, 0]);
    const content = await run('fltrust', options, [[1, 0]], { oracle, model: [4, 0] });
    expect([...content.delta]).toEqual([0, 0]);
    expect(content.diagnostics).toMatchObject({ trusted: 0, meanTrust: 0, rootNorm: 0 });
  });

  it('says so where the root training diverges', async () => {
    const diverging = run('fltrust', { learningRate: 1e6, epochs: 20 }, [[1, 0]], { oracle });
    await expect(diverging).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(/"fltrust".*proxy set.*learningRate/) as string,
    });
  });
});

describe('trimmed mean', () => {
  it('trims as many as a share of attackers is, though 0.29 * 100 is less than 29', async () => {
    const deltas = Array.from({ length: 100 }, (_, i) => [i < 29 ? 8 : 0]);
    const { delta } = await run('trimmed-mean', { beta: 0.29, attackers: 0.29 }, deltas);
    expect([...delta]).toEqual([0]);
  });

  it('leaves a value where beta is a hair under a half', async () => {
    const { delta } = await run('trimmed-mean', { beta: 0.5 - 1e-12 }, [[1], [2], [3], [6]]);
    expect(delta[0]).toBe(2.5);
  });
});

describe('clipped clustering', () => {
  it('refuses two updates, of which it would keep one by the order of ids', async () => {
    const two = [
      [1, 0],
      [1, 0.1],
    ];
    await expect(run('clipped-clustering', {}, two)).rejects.toMatchObject({ code: 'rule_needs' });
  });

  it('keeps the larger cluster by direction, clipped to the median norm', async () => {
    const deltas = [
      [3, 0],
      [-4, 0.5],
      [1, 0],
      [2, 0],
      [-2, 0.25],
    ];
    const { delta, weights, diagnostics } = await run('clipped-clustering', {}, deltas);
    const M = Math.hypot(2, 0.25);
    expect(delta[0]).toBeCloseTo((M + 1 + 2) / 3, 12);
    expect(delta[1]).toBe(0);
    expect([weights.c01, weights.c04]).toEqual([0, 0]);
    expect(weights.c00).toBeCloseTo(M / 9, 12);
    expect(diagnostics).toMatchObject({ selected: 3, dropped: 2, clipped: 2 });
    expect(diagnostics.clusterDistance).toBeCloseTo(1 + 8 / Math.hypot(8, 1), 12);
  });
});

describe('SignGuard', () => {
  it('keeps the two of three that are alike, whoever comes first', async () => {
    const deltas = [
      [-1, -1, -1, -1],
      [1, 1, 1, 0.9],
      [1, 0.9, 1, -0.1],
    ];
    const { weights } = await run('signguard', {}, deltas);
    expect(weights.c00).toBe(0);
    expect(weights.c01).toBeGreaterThan(0.4);
    expect(weights.c02).toBeGreaterThan(0.4);
  });

  it('filters by norm and by the shares of signs', async () => {
    const usual = [1, 1, 1, -1].map((x) => x / 4);
    const deltas = [
      usual,
      [0.25, -0.25, 0.25, 0.25],
      usual.map((x) => -x),
      usual.map((x) => x * 100),
      [0.5, 0.5, -0.5, 0.5],
    ];
    const { delta, weights, diagnostics } = await run('signguard', {}, deltas);
    // Median norm .5: the long one is out by norm, the turned one by signs, the last is clipped.
    expect(weights).toEqual({ c00: 1 / 3, c01: 1 / 3, c02: 0, c03: 0, c04: 1 / 6 });
    expect(delta[0]).toBeCloseTo((0.25 + 0.25 + 0.25) / 3, 14);
    expect(diagnostics).toEqual({
      selected: 3,
      dropped: 2,
      unusualNorm: 1,
      unusualSigns: 1,
      medianNorm: 0.5,
    });
  });
});

describe('DnC', () => {
  it('drops who stands out in the direction of most variance, round after round', async () => {
    const deltas = [
      [0, 1],
      [0, -1],
      [0.25, 1],
      [0.25, -1],
      [9, 0],
      [0, 5],
      [0, 0],
    ];
    const first = await run('dnc', { attackers: 1 }, deltas);
    expect(first.weights.c04).toBe(0);
    expect(first.diagnostics).toMatchObject({ attackers: 1, selected: 6, dropped: 1 });
    // With the far one gone, the direction is the second axis.
    const second = await run('dnc', { attackers: 2, iterations: 2 }, deltas);
    expect([second.weights.c04, second.weights.c05]).toEqual([0, 0]);
    expect(second.weights.c00).toBe(1 / 5);
  });
});
