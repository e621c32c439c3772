import { describe, expect, it } from 'vitest';
import cases from '../fixtures/rules/adaptation.json' with { type: 'json' };
import estimates from '../fixtures/rules/estimator.json' with { type: 'json' };
import type { BetaEstimate } from '../../server/core/rules/adaptation/auto-weighting.js';
import { estimateBeta } from '../../server/core/rules/adaptation/auto-weighting.js';
import { fedda } from '../../server/core/rules/fedda.js';
import { fedgp } from '../../server/core/rules/fedgp.js';
import { findRule, needsOf, parseOptions } from '../../server/core/rules/index.js';
import type { Outcome, UpdateReader } from '../../server/core/rules/rule.js';
import type { TestUpdate } from './round.js';
import { aggregateWith, context, layoutFor, reader } from './round.js';

const target = (delta: readonly number[], more: Partial<TestUpdate> = {}): TestUpdate => ({
  clientId: 'target',
  role: 'target',
  delta,
  ...more,
});
const source = (
  clientId: string,
  delta: readonly number[],
  more: Partial<TestUpdate> = {},
): TestUpdate => ({
  clientId,
  role: 'source',
  delta,
  ...more,
});
const batches = (vectors: readonly (readonly number[])[]): Record<string, readonly number[]> =>
  Object.fromEntries(vectors.map((vector, j) => [`batch.${j}`, vector]));

async function step(
  rule: typeof fedda | typeof fedgp,
  options: object,
  updates: TestUpdate[],
): Promise<number[]> {
  const model = updates[0].delta.map(() => 0);
  return [...(await aggregateWith(findRule(rule.name), options, model, updates)).delta];
}

function productsOf(
  gs: readonly (readonly number[])[],
  gS: readonly number[],
): Parameters<typeof estimateBeta>[0] {
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, x, e) => sum + x * b[e], 0);
  return {
    batches: gs.map((a) => gs.map((b) => dot(a, b))),
    withSource: gs.map((g) => dot(g, gS)),
    source: dot(gS, gS),
    dimensions: gS.length,
  };
}

// spec/rules.md, golden values of FedGP in its exact form.
describe('the exact form', () => {
  const gT = [3, 4];
  it.each([
    [
      [1, 0],
      [3, 2],
      [2, 2],
    ],
    [
      [-1, 0],
      [1.5, 2],
      [1, 2],
    ],
  ])('with a source at %o', async (gS, gp, da) => {
    const updates = [target(gT), source('s', gS)];
    for (const granularity of ['model', 'tensor']) {
      expect(await step(fedgp, { granularity }, updates)).toEqual(gp);
    }
    expect(await step(fedda, {}, updates)).toEqual(da);
  });

  it('with beta 0 is the target alone, and with beta 1 the sources alone', async () => {
    const updates = [target(gT), source('a', [1, 1]), source('b', [2, 0])];
    expect(await step(fedda, { beta: 0 }, updates)).toEqual(gT);
    expect(await step(fedgp, { beta: 0 }, updates)).toEqual(gT);
    expect(await step(fedda, { beta: 1 }, updates)).toEqual([1.5, 0.5]);
    expect(await step(fedgp, { beta: 1 }, updates)).toEqual([3.25, 1.75]);
  });
});

// spec/rules.md, golden values per tensor.
describe('projection tensor by tensor', () => {
  const updates = [
    target([0.1, 0.2, 0, -0.1, 0.05, 0.05]),
    source('source-1', [0.4, 0.2, 0, 0.2, -0.3, 0.1]),
    source('source-2', [-0.2, 0.4, 0.2, -0.4, 0.2, 0]),
  ];
  const model = [1, 0, 0, 1, 0.5, -0.5];
  const layout = layoutFor(6, { W: 4, b: 2 });

  it('gives the golden model', async () => {
    const after = await aggregateWith(findRule('fedgp'), {}, model, updates, { layout });
    const expected = [1.0625, 0.1375, 0.0125, 0.9375, 0.5375, -0.475];
    after.model.forEach((value, e) => expect(Math.abs(value - expected[e])).toBeLessThan(1e-7));
  });

  it('gives each source one coefficient a tensor, and as its weight their mean over parameters', async () => {
    const { coefficients, weights } = await aggregateWith(findRule('fedgp'), {}, model, updates, {
      layout,
    });
    // <D_T, D_1> / |D_1|^2 is 0.06 / 0.24 in W and -0.01 (dropped) in b; times share and beta.
    const [onFirst, , onTarget] = coefficients!.updates;
    expect(onTarget).toBeCloseTo(0.5, 15);
    expect(onFirst).toEqual([expect.closeTo(0.25 * 0.25, 7), 0]);
    expect(weights['source-1']).toBeCloseTo((0.25 * 0.25 * 4) / 6, 7);
    expect(weights.target).toBeCloseTo(0.5, 15);
    expect(coefficients!.model).toBe(1);
  });

  it('lends no direction in a tensor in which a source did not move', async () => {
    const still = [updates[0], source('source-1', [0.4, 0.2, 0, 0.2, 0, 0])];
    const { coefficients, delta } = await aggregateWith(findRule('fedgp'), {}, model, still, {
      layout,
    });
    expect((coefficients!.updates[0] as number[])[1]).toBe(0);
    expect([...delta.slice(4)]).toEqual([0.5 * Math.fround(0.05), 0.5 * Math.fround(0.05)]);
  });
});

describe('the estimator', () => {
  const gs = [
    [1, 0],
    [0, 1],
    [2, 2],
  ];
  // spec/rules.md, the table.
  it.each([
    [[1, 1], 0, 0, 1, 1, 1, 1],
    [[0, 3], 13 / 6, 1 / 3, 8 / 9, 2 / 15, 0.5, 0.45],
    [[-1, -1], 11 / 3, 0, 2 / 3, 1 / 12, 1, 0.5],
  ])('with g_S at %o', (gS, d2, t2d2, delta, da, gp, thresholded) => {
    const estimate = estimateBeta(productsOf(gs, gS));
    const expected: BetaEstimate = { sigma2: 1 / 3, d2, t2d2, delta, da, gp, thresholded };
    for (const [name, value] of Object.entries(expected)) {
      expect([name, estimate[name as keyof BetaEstimate]]).toEqual([
        name,
        expect.closeTo(value as number, 12),
      ]);
    }
  });

  // test/fixtures/rules/make.py: with every vector made, no inner products.
  it.each(estimates.map((c, i) => [i, c] as const))(
    'agrees with explicit vectors, case %i',
    (_, c) => {
      const estimate = estimateBeta(productsOf(c.batches, c.source));
      for (const [name, value] of Object.entries(c.expected)) {
        const actual = estimate[name as keyof BetaEstimate];
        expect(Math.abs(actual - value), name).toBeLessThanOrEqual(
          1e-9 * Math.max(1, Math.abs(value)),
        );
      }
    },
  );

  it('answers one half where there is no answer', () => {
    const same = [
      [0.1, 0.7],
      [0.1, 0.7],
      [0.1, 0.7],
    ];
    const agreeing = estimateBeta(productsOf(same, same[0]));
    expect(agreeing).toMatchObject({ sigma2: 0, d2: 0, da: 0.5 });
    const unmoved = estimateBeta(productsOf(gs, [0, 0]));
    expect(unmoved).toMatchObject({ gp: 0.5, thresholded: 0.5 });
    expect(unmoved.da).toBeGreaterThan(0);
  });

  it('has a variance of exactly zero for batches that agree, whatever their size', () => {
    for (const scale of [1e-20, 1, 1e10]) {
      const same = Array.from({ length: 5 }, () => [0.1 * scale, -0.3 * scale, 0.7 * scale]);
      expect(estimateBeta(productsOf(same, [scale, 0, 0])).sigma2).toBe(0);
    }
  });
});

// test/fixtures/rules/make.py
describe.each(cases.map((c) => [`${c.rule} ${JSON.stringify(c.options)}`, c] as const))(
  '%s',
  (_, c) => {
    it('agrees with an independent computation', async () => {
      const updates = c.updates.map(({ batches: own, role, ...update }): TestUpdate => ({
        ...update,
        metrics: update.metrics,
        role: role as 'source' | 'target',
        ...(own && { aux: batches(own) }),
      }));
      const lengths = Object.fromEntries(c.tensors.map((length, t) => [`t${t}`, length]));
      const layout = layoutFor(0, lengths);
      const after = await aggregateWith(findRule(c.rule), c.options, c.model, updates, { layout });
      c.expected.model.forEach((value, e) => {
        expect(Math.abs(c.model[e] + after.delta[e] - value)).toBeLessThan(
          1e-9 * Math.max(1, Math.abs(value)),
        );
      });
      if (c.options.beta !== 'auto') return;
      for (const { clientId, beta } of c.expected.betas) {
        expect(after.diagnostics[`beta.${clientId}`]).toBeCloseTo(beta, 9);
      }
    });
  },
);

describe('FedDA and FedGP', () => {
  const auto = [
    target([1, 1, 0], {
      aux: batches([
        [1, 0, 0],
        [0, 1, 0],
        [0.5, 0.5, 0.5],
      ]),
      numSteps: 3,
    }),
    source('a', [2, 1, 0], { numSteps: 4, metrics: { learningRate: 0.1 } }),
    source('b', [-1, 0, 3], { numSteps: 5 }),
  ];

  it('need the batch updates of the target only under beta auto', () => {
    for (const rule of [findRule('fedda'), findRule('fedgp')]) {
      expect(needsOf(rule, parseOptions(rule, {}))).toEqual({ target: true });
      expect(needsOf(rule, parseOptions(rule, { beta: 'auto' }))).toEqual({
        target: true,
        vectors: [{ name: 'batch', roles: ['target'], many: true, fewest: 2 }],
      });
    }
  });

  it('give the same bits for any order of arrival', async () => {
    for (const rule of [fedda, fedgp]) {
      const run = (updates: readonly TestUpdate[]): Promise<unknown> =>
        aggregateWith(findRule(rule.name), { beta: 'auto' }, [0, 0, 0], updates);
      expect(await run([auto[2], auto[0], auto[1]])).toEqual(await run(auto));
    }
  });

  it('take the batches by number, not by name', async () => {
    const many = Array.from({ length: 12 }, (_, j) => [j / 7, 1 - j / 13, (j % 5) / 3]);
    const inOrder = reader(target([1, 1, 1], { aux: batches(many) }));
    const byName = { ...inOrder, vectors: [...inOrder.vectors].sort() };
    const rule = findRule('fedda');
    const ctx = context([0, 0, 0], parseOptions(rule, { beta: 'auto' }));
    const finish = async (first: UpdateReader): Promise<Outcome> => {
      const acc = rule.begin(ctx);
      for (const update of [first, reader(auto[1])]) await rule.accumulate(acc, update, ctx);
      return rule.finish(acc, ctx);
    };
    expect(await finish(byName)).toEqual(await finish(inOrder));
  });

  it('refuse a round without exactly one target, or without a source', async () => {
    const refused = { code: 'rule_needs' };
    const sources = [source('a', [1]), source('b', [2])];
    await expect(step(fedda, {}, sources)).rejects.toMatchObject(refused);
    await expect(step(fedgp, {}, [target([1])])).rejects.toMatchObject(refused);
    const two = [target([1]), target([1], { clientId: 'another' })];
    await expect(step(fedgp, {}, two)).rejects.toMatchObject(refused);
  });

  it('refuse to estimate from a single batch', async () => {
    for (const aux of [batches([[1, 0, 0]]), {}]) {
      await expect(
        step(fedgp, { beta: 'auto' }, [{ ...auto[0], aux }, auto[1]]),
      ).rejects.toMatchObject({
        code: 'missing_vector',
        message: expect.stringContaining('2 batches') as string,
      });
    }
  });

  it('hold an opposed source down with the thresholded rule, where b_GP would let the step vanish', async () => {
    const gs = [
      [1, 0],
      [0, 1],
      [2, 2],
    ];
    const updates = [target([3, 3], { aux: batches(gs) }), source('opposed', [-1, -1])];
    expect(await step(fedgp, { beta: 'auto' }, updates)).toEqual([0, 0]);
    expect(await step(fedgp, { beta: 'auto', betaRule: 'thresholded' }, updates)).toEqual([
      expect.closeTo(1.5, 12),
      expect.closeTo(1.5, 12),
    ]);
  });

  it('take a rate that is missing or not positive as equal to the other', async () => {
    const updates = (rates: readonly (number | undefined)[]): TestUpdate[] => {
      const metrics = (rate?: number): Record<string, number> =>
        rate === undefined ? {} : { learningRate: rate };
      return [
        target([1, 0], { numSteps: 6, metrics: metrics(rates[0]) }),
        source('s', [0, 1], { numSteps: 3, metrics: metrics(rates[1]) }),
      ];
    };
    const run = (rates: readonly (number | undefined)[]): Promise<number[]> =>
      step(fedda, { align: 'learningRate' }, updates(rates));
    expect(await run([0.1, 0.05])).toEqual([0.5, 2]);
    for (const rates of [[], [0.1], [undefined, 0.1], [0.1, 0], [-1, 0.1]] as const) {
      expect(await run(rates)).toEqual([0.5, 1]);
    }
  });

  it.each([
    // 1e3, 1e-3, and 1 where the ratio overflows.
    [0.1, 1e-9, 500, 1],
    [1e-9, 0.1, 0.0005, 1],
    [0.1, 1e-310, 0.5, 1],
    [0.1, 0.05, 1, 0],
  ])(
    'hold the ratio of the rates %d and %d, and say so',
    async (ofTarget, ofSource, moved, held) => {
      const updates = [
        target([1, 0], { metrics: { learningRate: ofTarget } }),
        source('s', [0, 1], { metrics: { learningRate: ofSource } }),
      ];
      const rule = findRule('fedda');
      const aligned = await aggregateWith(rule, { align: 'learningRate' }, [0, 0], updates);
      expect(aligned.delta[1]).toBeCloseTo(moved, 9);
      expect(aligned.diagnostics).toEqual({ ratesHeld: held });
      const plain = await aggregateWith(rule, {}, [0, 0], updates);
      expect(plain.diagnostics).toEqual({});
    },
  );
});
