import { describe, expect, it } from 'vitest';
import fixture from '../fixtures/rules/merging.json' with { type: 'json' };
import type { LossOracle } from '../../server/core/ports.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, layoutFor, softmaxRegression } from './round.js';

interface Batch {
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
  readonly outputs?: number;
}
interface Case {
  readonly rule: string;
  readonly options: object;
  readonly oracle: string | null;
  readonly batches: readonly Batch[];
  readonly tensors: readonly number[];
  readonly model: readonly number[];
  readonly updates: readonly TestUpdate[];
  readonly expected: {
    readonly model: readonly number[];
    readonly weights: readonly number[];
    readonly diagnostics?: Readonly<Record<string, number>>;
  };
}
const cases = fixture as readonly unknown[] as readonly Case[];

/** Mean of (x w + b - y)^2 of a linear model, flat [w, b], and its gradient. */
function linearRegression(batches: readonly Batch[]): LossOracle {
  return {
    batches: batches.length,
    lossAndGrad(params, batch) {
      const { x, y } = batches[batch];
      const grad = new Float64Array(params.length);
      let loss = 0;
      x.forEach((row, n) => {
        const inputs = [...row, 1];
        const error = inputs.reduce((sum, value, e) => sum + value * params[e], -y[n]);
        loss += (error * error) / x.length;
        inputs.forEach((value, e) => (grad[e] += (2 * error * value) / x.length));
      });
      return Promise.resolve({ loss, grad: Float32Array.from(grad) });
    },
  };
}

function oracleOf({ oracle, batches }: Pick<Case, 'oracle' | 'batches'>): LossOracle | null {
  if (oracle === null) return null;
  return oracle === 'squares'
    ? linearRegression(batches)
    : softmaxRegression(batches, batches[0].outputs!);
}

function run({ rule, options, tensors, model, updates, ...asked }: Case): Promise<Aggregated> {
  const layout = layoutFor(
    model.length,
    Object.fromEntries(tensors.map((length, i) => [`tensor-${i}`, length])),
  );
  const oracle = oracleOf(asked);
  return aggregateWith(findRule(rule), options, model, updates, { layout, oracle });
}

/** The oracle's parameters and gradients are float32; the rest is float64, or the exact fold. */
const TOLERANCE = { oracle: 3e-5, none: 1e-9 };

// test/fixtures/rules/make-merging.py: whole vectors, no Gram matrix, every active set tried.
describe.each(
  cases.map((c, i) => [`${c.rule} ${JSON.stringify(c.options)}, case ${i}`, c] as const),
)('%s', (_, c) => {
  const within = TOLERANCE[c.oracle === null ? 'none' : 'oracle'];
  const close = (actual: number, expected: number): void =>
    expect(Math.abs(actual - expected)).toBeLessThan(within * Math.max(1, Math.abs(expected)));

  it('agrees with a direct computation on full vectors', async () => {
    const after = await run(c);
    after.delta.forEach((value, e) => close(value, c.expected.model[e] - c.model[e]));
    const { diagnostics = {} } = c.expected;
    for (const [name, value] of Object.entries(diagnostics)) {
      close(after.diagnostics[name], value);
    }
    // More directions than dimensions: one shortest vector, many ways to write it.
    if (c.rule === 'fedmgda' && c.updates.length > c.model.length) return;
    c.updates.forEach(({ clientId }, i) => close(after.weights[clientId], c.expected.weights[i]));
  });
});

const names = [...new Set(cases.map((c) => c.rule))];

describe.each(names)('%s', (name) => {
  const c = cases.filter(({ rule, updates }) => rule === name && updates.length > 1).at(-1)!;

  it('gives the same bits for any order of arrival', async () => {
    const turned = { ...c, updates: c.updates.toReversed() };
    expect(await run(turned)).toEqual(await run(c));
  });

  it('does not mind whether examples are counted one by one or by the dozen', async () => {
    const dozens = c.updates.map((u) => ({ ...u, numExamples: 12 * (u.numExamples ?? 1) }));
    const { delta } = await run({ ...c, updates: dozens });
    const expected = await run(c);
    delta.forEach((value, e) => expect(value).toBeCloseTo(expected.delta[e], 9));
  });

  it('is in the registry with a summary, and refuses an option that it does not have', () => {
    const rule = findRule(name);
    expect(rule.summary!.length).toBeGreaterThan(10);
    expect(rule.summary!.length).toBeLessThanOrEqual(90);
    expect(() => parseOptions(rule, { epsilom: 1 })).toThrow(/no option "epsilom"/);
  });
});

const update = (clientId: string, delta: readonly number[], more: Partial<TestUpdate> = {}) => ({
  clientId,
  delta,
  ...more,
});
const at = (
  rule: string,
  options: object,
  updates: readonly TestUpdate[],
  oracle: LossOracle | null = null,
): Promise<Aggregated> =>
  aggregateWith(
    findRule(rule),
    options,
    updates[0].delta.map(() => 0),
    updates,
    { oracle },
  );

describe('FedMGDA, by hand', () => {
  it('takes the middle of two directions, whatever their lengths', async () => {
    // u = (1, 0) and (0, 1): the shortest point between them is (1/2, 1/2).
    const after = await at('fedmgda', {}, [update('a', [8, 0]), update('b', [0, 0.5])]);
    expect([...after.delta]).toEqual([0.5, 0.5]);
    expect(after.weights).toEqual({ a: 0.0625, b: 1 });
    expect(after.diagnostics.minNorm).toBeCloseTo(Math.SQRT1_2, 15);
  });

  it('takes the middle of two that nearly agree, too', async () => {
    // (.6, .8) and (.8, .6)
    const after = await at('fedmgda', {}, [update('a', [3, 4]), update('b', [4, 3])]);
    expect([...after.delta]).toEqual([0.7, 0.7].map((x) => expect.closeTo(x, 14) as number));
  });

  it('does not move where two clients want the opposite', async () => {
    const after = await at('fedmgda', {}, [update('a', [2, 0]), update('b', [-1, 0])]);
    expect([...after.delta]).toEqual([0, 0]);
    expect(after.diagnostics).toMatchObject({ minNorm: 0, 'lambda.a': 0.5, 'lambda.b': 0.5 });
  });

  it('stays near the shares under a small epsilon', async () => {
    const updates = [
      update('a', [2, 0], { numExamples: 3 }),
      update('b', [-1, 0], { numExamples: 1 }),
    ];
    const after = await at('fedmgda', { epsilon: 0.1 }, updates);
    expect(after.diagnostics['lambda.a']).toBeCloseTo(0.65, 14);
    expect(after.delta[0]).toBeCloseTo(0.3, 14);
  });

  it('leaves a client out that did not move, and the model where none did', async () => {
    const after = await at('fedmgda', {}, [update('a', [2, 0]), update('b', [0, 0])]);
    expect([...after.delta]).toEqual([1, 0]);
    expect(after.diagnostics.left).toBe(1);
    const still = await at('fedmgda', {}, [update('a', [0, 0]), update('b', [0, 0])]);
    expect([...still.delta]).toEqual([0, 0]);
    expect(still.weights).toEqual({ a: 0, b: 0 });
  });

  it('copes with a hundred clients in ten dimensions', async () => {
    const updates = Array.from({ length: 100 }, (_, i) =>
      update(
        `c${i}`,
        Array.from({ length: 10 }, (_, e) =>
          Math.fround(Math.sin(7 * i + 3 * e) + (e === 0 ? 3 : 0)),
        ),
      ),
    );
    const { delta } = await at('fedmgda', {}, updates);
    const length = Math.hypot(...delta);
    // Optimality on the hull: every direction goes at least as far along the shortest vector.
    for (const { delta: d } of updates) {
      const along = d.reduce((sum, x, e) => sum + x * delta[e], 0) / Math.hypot(...d);
      expect(along).toBeGreaterThan(length * length - 1e-9);
    }
  });
});

/** |x - goal|^2 / 2, in one batch. */
function bowl(goal: readonly number[], curvature = 1): LossOracle {
  return {
    batches: 1,
    lossAndGrad: (params) => {
      const off = goal.map((g, e) => params[e] - g);
      const loss = (curvature * off.reduce((sum, x) => sum + x * x, 0)) / 2;
      return Promise.resolve({ loss, grad: Float32Array.from(off, (x) => curvature * x) });
    },
  };
}

describe('influence, by hand', () => {
  // L = |x - (3, 1)|^2 / 2 from 0: p = (3, 1) along the axes, Q = I.
  const axes = [update('a', [1, 0]), update('b', [0, 1])];

  it.each([
    ['none', [3, 1], [3, 1]],
    ['none', [3, -1], [3, -1]],
    ['nonnegative', [3, -1], [3, 0]],
    // On the simplex: a - b = 2 of the gradient is met at (1.5, -.5), which is cut to (1, 0).
    ['simplex', [3, 1], [1, 0]],
    ['simplex', [0.75, 0.5], [0.625, 0.375]],
  ])('with the constraint %s and the goal %j chooses %j', async (constraint, goal, expected) => {
    const after = await at('influence', { constraint }, axes, bowl(goal));
    after.delta.forEach((value, e) => expect(value).toBeCloseTo(expected[e], 4));
  });

  it('knows what the loss will fall by where the loss is a parabola', async () => {
    const after = await at('influence', { constraint: 'none' }, axes, bowl([3, 1]));
    expect(after.diagnostics).toMatchObject({
      proxyLossBefore: 5,
      expectedFall: expect.closeTo(5, 5) as number,
      ridge: 0,
    });
  });

  it.each(['simplex', 'nonnegative', 'none'])(
    'finds an answer under %s where the loss curves down or updates repeat each other',
    async (constraint) => {
      const down = await at('influence', { constraint }, axes, bowl([1, 1], -0.5));
      expect([...down.delta].every(Number.isFinite)).toBe(true);
      expect(down.diagnostics.ridge).toBeGreaterThan(0.5);
      const twins = [update('a', [1, 0]), update('b', [1, 0])];
      const same = await at('influence', { constraint }, twins, bowl([1, 0]));
      expect(same.delta[0]).toBeCloseTo(1, 4);
      expect(same.weights.a).toBeCloseTo(same.weights.b, 4);
    },
  );
});

describe('an oracle that is beyond use', () => {
  const updates = [update('a', [1, 0]), update('b', [0, 1])];
  const of = (grad: readonly number[]): LossOracle => ({
    batches: 1,
    lossAndGrad: () => Promise.resolve({ loss: 1, grad: Float32Array.from(grad) }),
  });

  it.each([
    'influence',
    'mimic',
    'fltrust',
    'fedlaw',
    'soup-learned',
    'proxy-only',
    'proxy-finetune',
  ])('whose gradient is NaN is refused by %s, by name and batch', async (rule) => {
    await expect(at(rule, {}, updates, of([0, NaN]))).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(new RegExp(`"${rule}".*NaN.*batch 0`)) as string,
    });
  });

  it('by gradients that overflow ends the search for a ridge', async () => {
    const steep: LossOracle = {
      batches: 1,
      lossAndGrad: (params) =>
        Promise.resolve({ loss: 1, grad: params.map((w) => (w > 0 ? 3e38 : -3e38)) }),
    };
    await expect(at('influence', {}, updates, steep)).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(/"influence".*curvature/) as string,
    });
  });

  it('by a step that overflows is refused, and does not leave the model as it was', async () => {
    const far = at('mimic', { learningRate: 1e6, epochs: 1 }, updates, of([3e38, 0]));
    await expect(far).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(/"mimic" diverged.*learningRate/) as string,
    });
  });
});

describe('mimic, by hand', () => {
  it("counts updates by how far they go along the server's own", async () => {
    // One step towards (3, 4): r has the direction (.6, .8). Projections 3, 1.6 and below 0.
    const updates = [update('a', [5, 0]), update('b', [0, 2]), update('c', [-1, 0])];
    const after = await at('mimic', { epochs: 1, learningRate: 0.1 }, updates, bowl([3, 4]));
    expect(after.weights.a).toBeCloseTo(3 / 4.6, 6);
    expect(after.weights.b).toBeCloseTo(1.6 / 4.6, 6);
    expect(after.weights.c).toBe(0);
    expect(after.diagnostics.opposed).toBe(1);
  });

  it('leaves the model where nobody goes its way, or the server does not move', async () => {
    const against = await at('mimic', {}, [update('a', [-1, 0])], bowl([3, 0]));
    expect([...against.delta]).toEqual([0, 0]);
    const content = await at('mimic', {}, [update('a', [-1, 0])], bowl([0, 0]));
    expect([...content.delta]).toEqual([0, 0]);
  });
});

describe('model stock, by hand', () => {
  it.each([
    [
      'equal updates',
      [
        [1, 2],
        [1, 2],
      ],
      1,
    ],
    [
      'updates at right angles',
      [
        [1, 0],
        [0, 1],
      ],
      0,
    ],
    [
      'two at 60 degrees: 2c / (1 + c)',
      [
        [1, 0],
        [0.5, Math.sqrt(0.75)],
      ],
      2 / 3,
    ],
    ['a single one', [[1, 2]], 1],
    [
      'opposed ones',
      [
        [1, 0],
        [-1, 0],
      ],
      0,
    ],
  ])('goes back from the mean for %s', async (_, deltas, expected) => {
    const after = await at(
      'model-stock',
      {},
      deltas.map((delta, i) => update(`c${i}`, delta)),
    );
    expect(after.diagnostics.ratio).toBeCloseTo(expected, 7);
    const mean = (e: number): number => deltas.reduce((s, d) => s + d[e], 0) / deltas.length;
    after.delta.forEach((value, e) => expect(value).toBeCloseTo(expected * mean(e), 7));
  });
});

describe('soups, by hand', () => {
  it('greedy keeps a model that leaves the mean as good, and none that makes it worse', async () => {
    // To (1, 1): alone a and b are at 1/2, c at 8; a and b together meet it.
    const updates = [update('a', [2, 1]), update('b', [0, 1]), update('c', [-3, 1])];
    const after = await at('soup-greedy', {}, updates, bowl([1, 1]));
    expect(after.weights).toEqual({ a: 0.5, b: 0.5, c: 0 });
    expect(after.diagnostics).toEqual({ kept: 2, proxyLossBest: 0.5, proxyLossAfter: 0 });
    const twins = await at(
      'soup-greedy',
      {},
      [update('a', [2, 1]), update('b', [2, 1])],
      bowl([1, 1]),
    );
    expect(twins.diagnostics.kept).toBe(2);
  });

  it('learned goes towards the model that does better', async () => {
    const updates = [update('a', [1, 1]), update('b', [-1, 1])];
    const options = { epochs: 200, learningRate: 0.1 };
    const after = await at('soup-learned', options, updates, bowl([0.5, 1]));
    // lambda_a - lambda_b = .5
    expect(after.weights.a).toBeCloseTo(0.75, 2);
    expect(after.weights.a + after.weights.b).toBeCloseTo(1, 14);
  });

  it('a model beyond use is not kept, and does not end the round', async () => {
    const nan: LossOracle = {
      batches: 1,
      lossAndGrad: (params) =>
        Promise.resolve({ loss: params[0] > 5 ? NaN : params[0], grad: new Float32Array(2) }),
    };
    const updates = [update('a', [9, 0]), update('b', [1, 0])];
    for (const rule of ['soup-greedy', 'best-client']) {
      expect((await at(rule, {}, updates, nan)).weights).toEqual({ a: 0, b: 1 });
      await expect(at(rule, {}, [updates[0]], nan)).rejects.toMatchObject({ code: 'not_finite' });
    }
  });
});
