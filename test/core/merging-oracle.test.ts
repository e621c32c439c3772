/** Rules that weigh by what an oracle says of the models, by hand. */
import { describe, expect, it } from 'vitest';
import type { LossOracle } from '../../server/core/ports.js';
import { bowls } from './support/bowls.js';
import { fromZero } from './support/from-zero.js';
import { update } from './support/updates.js';

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
    const after = await fromZero('influence', { constraint }, axes, { oracle: bowls([goal]) });
    after.delta.forEach((value, e) => expect(value).toBeCloseTo(expected[e], 4));
  });

  it('knows what the loss will fall by where the loss is a parabola', async () => {
    const after = await fromZero('influence', { constraint: 'none' }, axes, {
      oracle: bowls([[3, 1]]),
    });
    expect(after.diagnostics).toMatchObject({
      proxyLossBefore: 5,
      expectedFall: expect.closeTo(5, 5) as number,
      ridge: 0,
    });
  });

  it.each(['simplex', 'nonnegative', 'none'])(
    'finds an answer under %s where the loss curves down or updates repeat each other',
    async (constraint) => {
      const down = await fromZero('influence', { constraint }, axes, {
        oracle: bowls([[1, 1]], -0.5),
      });
      expect([...down.delta].every(Number.isFinite)).toBe(true);
      expect(down.diagnostics.ridge).toBeGreaterThan(0.5);
      const twins = [update('a', [1, 0]), update('b', [1, 0])];
      const same = await fromZero('influence', { constraint }, twins, { oracle: bowls([[1, 0]]) });
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
    await expect(fromZero(rule, {}, updates, { oracle: of([0, NaN]) })).rejects.toMatchObject({
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
    await expect(fromZero('influence', {}, updates, { oracle: steep })).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringMatching(/"influence".*curvature/) as string,
    });
  });

  it('by a step that overflows is refused, and does not leave the model as it was', async () => {
    const far = fromZero('mimic', { learningRate: 1e6, epochs: 1 }, updates, {
      oracle: of([3e38, 0]),
    });
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
    const after = await fromZero('mimic', { epochs: 1, learningRate: 0.1 }, updates, {
      oracle: bowls([[3, 4]]),
    });
    expect(after.weights.a).toBeCloseTo(3 / 4.6, 6);
    expect(after.weights.b).toBeCloseTo(1.6 / 4.6, 6);
    expect(after.weights.c).toBe(0);
    expect(after.diagnostics.opposed).toBe(1);
  });

  it('leaves the model where nobody goes its way, or the server does not move', async () => {
    const against = await fromZero('mimic', {}, [update('a', [-1, 0])], {
      oracle: bowls([[3, 0]]),
    });
    expect([...against.delta]).toEqual([0, 0]);
    const content = await fromZero('mimic', {}, [update('a', [-1, 0])], {
      oracle: bowls([[0, 0]]),
    });
    expect([...content.delta]).toEqual([0, 0]);
  });
});

describe('soups, by hand', () => {
  it('greedy keeps a model that leaves the mean as good, and none that makes it worse', async () => {
    // To (1, 1): alone a and b are at 1/2, c at 8; a and b together meet it.
    const updates = [update('a', [2, 1]), update('b', [0, 1]), update('c', [-3, 1])];
    const after = await fromZero('soup-greedy', {}, updates, { oracle: bowls([[1, 1]]) });
    expect(after.weights).toEqual({ a: 0.5, b: 0.5, c: 0 });
    expect(after.diagnostics).toEqual({ kept: 2, proxyLossBest: 0.5, proxyLossAfter: 0 });
    const twins = await fromZero('soup-greedy', {}, [update('a', [2, 1]), update('b', [2, 1])], {
      oracle: bowls([[1, 1]]),
    });
    expect(twins.diagnostics.kept).toBe(2);
  });

  it('learned goes towards the model that does better', async () => {
    const updates = [update('a', [1, 1]), update('b', [-1, 1])];
    const options = { epochs: 200, learningRate: 0.1 };
    const after = await fromZero('soup-learned', options, updates, { oracle: bowls([[0.5, 1]]) });
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
      expect((await fromZero(rule, {}, updates, { oracle: nan })).weights).toEqual({ a: 0, b: 1 });
      await expect(fromZero(rule, {}, [updates[0]], { oracle: nan })).rejects.toMatchObject({
        code: 'not_finite',
      });
    }
  });
});
