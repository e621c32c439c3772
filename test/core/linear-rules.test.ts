/** Linear rules whose weights are a formula of what a client reports: what they reduce to, and bounds. */
import { describe, expect, it } from 'vitest';
import { findRule, needsOf, parseOptions } from '../../server/core/rules/index.js';
import { fromZero } from './support/from-zero.js';
import { losses, updatesWith } from './support/updates.js';

describe('power', () => {
  const sizes = updatesWith({ numExamples: 3 }, { numExamples: 700 }, { numExamples: 45 });

  it.each([
    [0, 'uniform'],
    [1, 'fedavg'],
  ])('with kappa %d is %s, bit by bit', async (kappa, name) => {
    const [ours, same] = await Promise.all([
      fromZero('power', { kappa }, sizes),
      fromZero(name, {}, sizes),
    ]);
    expect(ours.delta).toEqual(same.delta);
    expect(ours.weights).toEqual(same.weights);
  });

  it('keeps the digits of small clients with kappa above 1', async () => {
    const two = updatesWith({ numExamples: 1, delta: [1e-4] }, { numExamples: 2, delta: [1e-4] });
    const { delta, diagnostics } = await fromZero('power', { kappa: 2 }, two);
    expect(Math.abs(delta[0] - 1e-4)).toBeLessThan(1e-9);
    expect(diagnostics.clipped).toBe(0);
  });

  it('with kappa above 1, holds a count at 256 medians of the round before', async () => {
    const { state } = await fromZero('power', { kappa: 2 }, sizes);
    const counts = [{ numExamples: 45 }, { numExamples: 90 }, { numExamples: 45 * 300 }];
    const after = await fromZero('power', { kappa: 2 }, updatesWith(...counts), { state });
    expect(after.weights.c1 / after.weights.c0).toBeCloseTo(4, 9);
    expect(after.weights.c2 / after.weights.c0).toBeCloseTo(65_536, 4);
    expect(after.diagnostics.clipped).toBe(1);
  });
});

describe('fednova', () => {
  it('is FedAvg where all make the same number of steps', async () => {
    const same = updatesWith({ numExamples: 3, numSteps: 7 }, { numExamples: 5, numSteps: 7 });
    const ours = await fromZero('fednova', {}, same);
    expect(ours.delta[0]).toBeCloseTo((3 * 1 + 5 * 2) / 8, 8);
    expect(ours.diagnostics.effectiveSteps).toBe(7);
  });

  it('counts one step with momentum as one', async () => {
    const one = updatesWith({ numSteps: 1 }, { numSteps: 1 });
    const { weights } = await fromZero('fednova', { rho: 0.999 }, one);
    expect(weights.c0).toBeCloseTo(0.5, 12);
  });
});

describe('qfedavg', () => {
  it('takes the mean of the rates that clients report, or the one that the option says', async () => {
    const updates = updatesWith(
      { metrics: { lossBefore: 2, learningRate: 0.05 } },
      { metrics: { lossBefore: 1, learningRate: 0.15 } },
    );
    const mean = await fromZero('qfedavg', {}, updates);
    const named = await fromZero('qfedavg', { learningRate: 0.1 }, updates);
    expect(named.delta).toEqual(mean.delta);
    // L 10: (2 * 10 * 1 + 1 * 10 * 2) / (100 * 1 + 10 * 2 + 100 * 4 + 10 * 1) = 40 / 530
    expect(mean.delta[0]).toBeCloseTo(40 / 530, 9);
    expect(mean.diagnostics.lipschitz).toBeCloseTo(10, 12);
  });

  it('needs no rate of the clients where the option says it', () => {
    const rule = findRule('qfedavg');
    expect(needsOf(rule, parseOptions(rule, {})).metrics).toEqual(['lossBefore', 'learningRate']);
    const named = parseOptions(rule, { learningRate: 1 });
    expect(needsOf(rule, named).metrics).toEqual(['lossBefore']);
  });

  it('can bear losses of zero, and refuses one below', async () => {
    const { delta } = await fromZero('qfedavg', { q: 0.1 }, losses(0, 0));
    expect(Number.isFinite(delta[0])).toBe(true);
    await expect(fromZero('qfedavg', {}, losses(1, -0.5))).rejects.toMatchObject({
      code: 'bad_facts',
    });
  });

  it('holds a loss at sixteen typical ones, and says how many', async () => {
    const { state } = await fromZero('qfedavg', {}, losses(0.5, 0.5, 0.5));
    const after = await fromZero('qfedavg', {}, losses(0.5, 8, 1e30), { state });
    expect(after.weights.c2).toBeCloseTo(after.weights.c1, 12);
    expect(after.diagnostics.clipped).toBe(1);
  });

  it('takes nothing for typical from a round without losses', async () => {
    const none = await fromZero('qfedavg', {}, losses(0, 0));
    const fresh = await fromZero('qfedavg', {}, losses(1, 1));
    const after = await fromZero('qfedavg', {}, losses(1, 1), { state: none.state });
    // L 10, losses 1: (10 * 1 + 10 * 2) / (100 * 1 + 10 + 100 * 4 + 10)
    expect(after.delta[0]).toBeCloseTo(30 / 520, 9);
    const later = await fromZero('qfedavg', {}, losses(0, 0), { state: fresh.state });
    expect(later.state).toEqual(fresh.state);
  });
});

describe.each([
  ['term', { t: 2 }],
  ['kl-dro', { tau: 0.5 }],
])('%s %o', (name, options) => {
  it('depends on differences of losses alone', async () => {
    const one = await fromZero(name, options, losses(1, 1.5, 0.25));
    const shifted = await fromZero(name, options, losses(101, 101.5, 100.25));
    for (const client of ['c0', 'c1', 'c2']) {
      expect(shifted.weights[client]).toBeCloseTo(one.weights[client], 9);
    }
  });

  it('holds nobody in a first round, however far the losses are apart', async () => {
    const { weights, diagnostics } = await fromZero(name, options, losses(0, 2.5, 5.5));
    // exp(2 * -3), exp(2 * -5.5)
    expect(weights.c1 / weights.c2).toBeCloseTo(2.4787521767e-3, 12);
    expect(weights.c0 / weights.c2).toBeCloseTo(1.670170079e-5, 12);
    expect(diagnostics.clipped).toBe(0);
  });

  it('holds a weight at 256 times the examples after it, and says how many', async () => {
    const { state } = await fromZero(name, options, losses(0, 0.25, 0));
    const after = await fromZero(name, options, losses(0, 2.5, 4, 1000), { state });
    expect(after.weights.c2 / after.weights.c0).toBeCloseTo(256, 4);
    expect(after.weights.c3).toBe(after.weights.c2);
    expect(after.diagnostics).toMatchObject({
      clipped: 2,
      lossSpread: 1000,
      worstLossBefore: 1000,
    });
  });

  it('is not thrown off for the rounds after by one loss that cannot be', async () => {
    const { state } = await fromZero(name, options, losses(1, 1.25, 1e300));
    const after = await fromZero(name, options, losses(1, 1.25), { state });
    // exp(2 * 0.25)
    expect(after.weights.c1 / after.weights.c0).toBeCloseTo(1.6487212707, 6);
  });

  it("never gives more than the run's scale has room for", async () => {
    const many = losses(50).map((update) => ({ ...update, numExamples: 131_072 }));
    await expect(fromZero(name, options, many)).resolves.toMatchObject({ weights: { c0: 1 } });
  });
});

describe('inverse-variance', () => {
  it('counts half as much who varies twice as much', async () => {
    const two = updatesWith({ metrics: { variance: 0.5 } }, { metrics: { variance: 1 } });
    const { weights, diagnostics } = await fromZero('inverse-variance', {}, two);
    expect(weights.c0).toBeCloseTo(2 / 3, 9);
    expect(diagnostics).toMatchObject({ leastVariance: 0.5, greatestVariance: 1, clipped: 0 });
  });

  it.each([0, -1])('refuses the variance %d', async (variance) => {
    await expect(
      fromZero('inverse-variance', {}, updatesWith({ metrics: { variance } })),
    ).rejects.toThrow(/"variance" of client "c0"/);
  });

  it('holds who claims next to none at 65536 times what was typical', async () => {
    const one = updatesWith({ metrics: { variance: 1 } });
    const { state } = await fromZero('inverse-variance', {}, one);
    const two = updatesWith({ metrics: { variance: 1 } }, { metrics: { variance: 1e-200 } });
    const { weights, diagnostics } = await fromZero('inverse-variance', {}, two, { state });
    expect(weights.c1 / weights.c0).toBeCloseTo(65_536, 3);
    expect(diagnostics.clipped).toBe(1);
  });
});

describe('fedprox', () => {
  it('asks the clients to train with its mu', () => {
    const rule = findRule('fedprox');
    expect(rule.training?.(parseOptions(rule, { mu: 0.25 }))).toEqual({ proximalMu: 0.25 });
  });
});
