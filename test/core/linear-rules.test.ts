/**
 * The linear rules of the catalogue against values computed apart from them: 50 digits, straight from
 * the papers' formulas (test/fixtures/rules/make-linear.py).
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkMetrics } from '../../server/core/admission.js';
import { multipliersOf } from '../../server/core/rules/linear/multipliers.js';
import { projectOnSimplex } from '../../server/core/rules/linear/simplex.js';
import { findRule, needsOf, parseOptions, rules } from '../../server/core/rules/index.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { medianOf } from '../../server/core/rules/statistics.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, reader } from './round.js';

const numbers = z.record(z.string(), z.number());
const golden = z.object({
  rules: z.array(
    z.object({
      rule: z.string(),
      options: z.record(z.string(), z.json()),
      rounds: z.array(
        z.object({
          updates: z.array(
            z.object({
              clientId: z.string(),
              numExamples: z.number(),
              numSteps: z.number(),
              staleness: z.number(),
              delta: z.array(z.number()),
              metrics: numbers,
            }),
          ),
          expected: z.object({
            delta: z.array(z.number()),
            weights: numbers,
            multipliers: numbers.optional(),
          }),
        }),
      ),
    }),
  ),
});
const file = new URL('../fixtures/rules/linear.json', import.meta.url);
const cases = golden.parse(JSON.parse(readFileSync(file, 'utf8'))).rules;

/** One round of a model that is all zero. */
function round(
  name: string,
  options: object,
  updates: readonly TestUpdate[],
  state: RuleState = emptyState,
): Promise<Aggregated> {
  const model = updates[0].delta.map(() => 0);
  return aggregateWith(findRule(name), options, model, updates, { state });
}

describe('golden values', () => {
  it.each(cases)('$rule $options, $rounds.length rounds', async ({ rule, options, rounds }) => {
    let state = emptyState;
    for (const { updates, expected } of rounds) {
      const after = await round(rule, options, updates, state);
      state = after.state;
      expect(Object.keys(after.weights)).toEqual(Object.keys(expected.weights));
      for (const [client, weight] of Object.entries(expected.weights)) {
        expect(after.weights[client]).toBeCloseTo(weight, 9);
      }
      after.delta.forEach((value, e) => expect(value).toBeCloseTo(expected.delta[e], 8));
      if (!expected.multipliers) continue;
      const multipliers = Object.fromEntries(multipliersOf(state));
      expect(Object.keys(multipliers)).toEqual(Object.keys(expected.multipliers).sort());
      for (const [client, value] of Object.entries(expected.multipliers)) {
        expect(multipliers[client]).toBeCloseTo(value, 12);
      }
    }
  });

  it('has one for every linear rule of the catalogue', () => {
    const elsewhere = ['fedavg', 'uniform', 'scaffold', 'feddyn', 'soup-uniform'];
    const linear = [...rules.values()].filter(({ family }) => family === 'linear');
    const named = new Set([...elsewhere, ...cases.map(({ rule }) => rule)]);
    expect(linear.map(({ name }) => name).filter((name) => !named.has(name))).toEqual([]);
  });
});

/** Updates of one parameter each. */
function updatesOf(
  ...facts: readonly (Omit<TestUpdate, 'delta' | 'clientId'> & { readonly delta?: number[] })[]
): TestUpdate[] {
  return facts.map((one, i) => ({ clientId: `c${i}`, delta: [i + 1], ...one }));
}

const losses = (...values: number[]): TestUpdate[] =>
  updatesOf(...values.map((lossBefore) => ({ metrics: { lossBefore, learningRate: 0.1 } })));

describe('power', () => {
  const sizes = updatesOf({ numExamples: 3 }, { numExamples: 700 }, { numExamples: 45 });

  it.each([
    [0, 'uniform'],
    [1, 'fedavg'],
  ])('with kappa %d is %s, bit by bit', async (kappa, name) => {
    const [ours, same] = await Promise.all([
      round('power', { kappa }, sizes),
      round(name, {}, sizes),
    ]);
    expect(ours.delta).toEqual(same.delta);
    expect(ours.weights).toEqual(same.weights);
  });

  it('keeps the digits of small clients with kappa above 1', async () => {
    const two = updatesOf({ numExamples: 1, delta: [1e-4] }, { numExamples: 2, delta: [1e-4] });
    const { delta, diagnostics } = await round('power', { kappa: 2 }, two);
    expect(Math.abs(delta[0] - 1e-4)).toBeLessThan(1e-9);
    expect(diagnostics.clipped).toBe(0);
  });

  it('with kappa above 1, holds a count at 256 medians of the round before', async () => {
    const { state } = await round('power', { kappa: 2 }, sizes);
    const counts = [{ numExamples: 45 }, { numExamples: 90 }, { numExamples: 45 * 300 }];
    const after = await round('power', { kappa: 2 }, updatesOf(...counts), state);
    expect(after.weights.c1 / after.weights.c0).toBeCloseTo(4, 9);
    expect(after.weights.c2 / after.weights.c0).toBeCloseTo(65_536, 4);
    expect(after.diagnostics.clipped).toBe(1);
  });
});

describe('fednova', () => {
  it('is FedAvg where all make the same number of steps', async () => {
    const same = updatesOf({ numExamples: 3, numSteps: 7 }, { numExamples: 5, numSteps: 7 });
    const ours = await round('fednova', {}, same);
    expect(ours.delta[0]).toBeCloseTo((3 * 1 + 5 * 2) / 8, 8);
    expect(ours.diagnostics.effectiveSteps).toBe(7);
  });

  it('counts one step with momentum as one', async () => {
    const one = updatesOf({ numSteps: 1 }, { numSteps: 1 });
    const { weights } = await round('fednova', { rho: 0.999 }, one);
    expect(weights.c0).toBeCloseTo(0.5, 12);
  });
});

describe('qfedavg', () => {
  it('takes the mean of the rates that clients report, or the one that the option says', async () => {
    const updates = updatesOf(
      { metrics: { lossBefore: 2, learningRate: 0.05 } },
      { metrics: { lossBefore: 1, learningRate: 0.15 } },
    );
    const mean = await round('qfedavg', {}, updates);
    const named = await round('qfedavg', { learningRate: 0.1 }, updates);
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
    const { delta } = await round('qfedavg', { q: 0.1 }, losses(0, 0));
    expect(Number.isFinite(delta[0])).toBe(true);
    await expect(round('qfedavg', {}, losses(1, -0.5))).rejects.toMatchObject({
      code: 'bad_facts',
    });
  });

  it('holds a loss at sixteen typical ones, and says how many', async () => {
    const { state } = await round('qfedavg', {}, losses(0.5, 0.5, 0.5));
    const after = await round('qfedavg', {}, losses(0.5, 8, 1e30), state);
    expect(after.weights.c2).toBeCloseTo(after.weights.c1, 12);
    expect(after.diagnostics.clipped).toBe(1);
  });

  it('takes nothing for typical from a round without losses', async () => {
    const none = await round('qfedavg', {}, losses(0, 0));
    const fresh = await round('qfedavg', {}, losses(1, 1));
    const after = await round('qfedavg', {}, losses(1, 1), none.state);
    // L 10, losses 1: (10 * 1 + 10 * 2) / (100 * 1 + 10 + 100 * 4 + 10)
    expect(after.delta[0]).toBeCloseTo(30 / 520, 9);
    const later = await round('qfedavg', {}, losses(0, 0), fresh.state);
    expect(later.state).toEqual(fresh.state);
  });
});

describe.each([
  ['term', { t: 2 }],
  ['kl-dro', { tau: 0.5 }],
])('%s %o', (name, options) => {
  it('depends on differences of losses alone', async () => {
    const one = await round(name, options, losses(1, 1.5, 0.25));
    const shifted = await round(name, options, losses(101, 101.5, 100.25));
    for (const client of ['c0', 'c1', 'c2']) {
      expect(shifted.weights[client]).toBeCloseTo(one.weights[client], 9);
    }
  });

  it('holds nobody in a first round, however far the losses are apart', async () => {
    const { weights, diagnostics } = await round(name, options, losses(0, 2.5, 5.5));
    // exp(2 * -3), exp(2 * -5.5)
    expect(weights.c1 / weights.c2).toBeCloseTo(2.4787521767e-3, 12);
    expect(weights.c0 / weights.c2).toBeCloseTo(1.670170079e-5, 12);
    expect(diagnostics.clipped).toBe(0);
  });

  it('holds a weight at 256 times the examples after it, and says how many', async () => {
    const { state } = await round(name, options, losses(0, 0.25, 0));
    const after = await round(name, options, losses(0, 2.5, 4, 1000), state);
    expect(after.weights.c2 / after.weights.c0).toBeCloseTo(256, 4);
    expect(after.weights.c3).toBe(after.weights.c2);
    expect(after.diagnostics).toMatchObject({
      clipped: 2,
      lossSpread: 1000,
      worstLossBefore: 1000,
    });
  });

  it('is not thrown off for the rounds after by one loss that cannot be', async () => {
    const { state } = await round(name, options, losses(1, 1.25, 1e300));
    const after = await round(name, options, losses(1, 1.25), state);
    // exp(2 * 0.25)
    expect(after.weights.c1 / after.weights.c0).toBeCloseTo(1.6487212707, 6);
  });

  it("never gives more than the run's scale has room for", async () => {
    const many = losses(50).map((update) => ({ ...update, numExamples: 131_072 }));
    await expect(round(name, options, many)).resolves.toMatchObject({ weights: { c0: 1 } });
  });
});

describe('inverse-variance', () => {
  it('counts half as much who varies twice as much', async () => {
    const two = updatesOf({ metrics: { variance: 0.5 } }, { metrics: { variance: 1 } });
    const { weights, diagnostics } = await round('inverse-variance', {}, two);
    expect(weights.c0).toBeCloseTo(2 / 3, 9);
    expect(diagnostics).toMatchObject({ leastVariance: 0.5, greatestVariance: 1, clipped: 0 });
  });

  it.each([0, -1])('refuses the variance %d', async (variance) => {
    await expect(
      round('inverse-variance', {}, updatesOf({ metrics: { variance } })),
    ).rejects.toThrow(/"variance" of client "c0"/);
  });

  it('holds who claims next to none at 65536 times what was typical', async () => {
    const one = updatesOf({ metrics: { variance: 1 } });
    const { state } = await round('inverse-variance', {}, one);
    const two = updatesOf({ metrics: { variance: 1 } }, { metrics: { variance: 1e-200 } });
    const { weights, diagnostics } = await round('inverse-variance', {}, two, state);
    expect(weights.c1 / weights.c0).toBeCloseTo(65_536, 3);
    expect(diagnostics.clipped).toBe(1);
  });
});

describe('afl', () => {
  it('gives a newcomer the mean of those known, and keeps those who are away', async () => {
    const first = await round('afl', {}, losses(1, 1));
    expect(first.weights).toEqual({ c0: 0.5, c1: 0.5 });
    const next = [...losses(1), { ...losses(1)[0], clientId: 'new', delta: [8] }];
    const second = await round('afl', {}, next, first.state);
    expect(second.weights).toEqual({ c0: 0.5, new: 0.5 });
    // (.5 + .1, .5, .5 + .1), less .7 / 3 each
    const known = multipliersOf(second.state);
    expect([...known.keys()]).toEqual(['c0', 'c1', 'new']);
    [0.6, 0.5, 0.6].forEach((value, i) =>
      expect([...known.values()][i]).toBeCloseTo(value - 0.7 / 3, 12),
    );
  });

  it('can bear any loss, and client names that objects have', async () => {
    const odd = losses(1e308, 1e308, -1e308).map((update, i) => ({
      ...update,
      clientId: ['constructor', 'toString', 'valueOf'][i],
    }));
    const { weights, state } = await round('afl', { g: 1 }, odd);
    expect(weights.constructor).toBeCloseTo(1 / 3, 12);
    expect(Object.fromEntries(multipliersOf(state))).toEqual({
      constructor: 0.5,
      toString: 0.5,
      valueOf: 0,
    });
  });

  it('keeps the model where all who are there have come down to nothing', async () => {
    const { state } = await round('afl', { g: 1 }, losses(0, 30));
    const after = await round('afl', {}, losses(0), state);
    expect([...after.delta]).toEqual([0]);
    expect(after.weights).toEqual({ c0: 0 });
  });
});

describe('feasible', () => {
  it('stops moving when every site has been below eps for long', async () => {
    const below = { eps: 1, eta: 1 };
    const { state } = await round('feasible', below, losses(0, 0));
    const after = await round('feasible', below, losses(0, 0), state);
    expect([...after.delta]).toEqual([0]);
    expect(after.diagnostics.above).toBe(0);
  });

  it('never lets a hopeless site grow to infinity', async () => {
    let state: RuleState = emptyState;
    for (let turn = 0; turn < 3; turn++) {
      state = (await round('feasible', { eta: 100 }, losses(1, 1e300), state)).state;
    }
    expect(multipliersOf(state).get('c1')).toBe(2 ** 20);
    const after = await round('feasible', {}, losses(1, 1), state);
    expect(after.weights.c0).toBeGreaterThan(0);
  });
});

describe('norm-bound', () => {
  const updates = updatesOf({ delta: [3, 4] }, { delta: [0, 1] }, { delta: [-2, 0] });

  it('bounds by its own median in a first round without C, and by that one in the next', async () => {
    const first = await round('norm-bound', {}, updates);
    // (3, 4) comes down to length 2: (1.2, 1.6); then the mean.
    expect(first.delta[0]).toBeCloseTo((1.2 - 2) / 3, 9);
    expect(first.delta[1]).toBeCloseTo((1.6 + 1) / 3, 9);
    expect(first.diagnostics).toMatchObject({ bound: 2, clipped: 1 });
    const longer = updates.map((update) => ({ ...update, delta: [0, 8] }));
    const second = await round('norm-bound', {}, longer, first.state);
    expect(second.delta[1]).toBeCloseTo(2, 9);
    expect(second.diagnostics).toMatchObject({ bound: 2, clipped: 3 });
  });

  it('is not brought to a stop by a round in which most did not move', async () => {
    const first = await round('norm-bound', {}, updates);
    const still = updatesOf({ delta: [0, 0] }, { delta: [0, 0] }, { delta: [1, 1] });
    const { state } = await round('norm-bound', {}, still, first.state);
    expect(state).toEqual(first.state);
  });

  it.each([
    ['norm-bound', 2, 5],
    ['norm-bound', 0.4, 1],
    ['norm-bound-median', 2, 5],
  ])('%s with attackers %d needs %d updates', async (name, attackers, enough) => {
    const rule = findRule(name);
    expect(rule.minUpdates(parseOptions(rule, { attackers }))).toBe(enough);
    expect(rule.minUpdates(parseOptions(rule, {}))).toBe(1);
    const many = Array.from({ length: enough }, () => ({}));
    await expect(round(name, { attackers }, updatesOf(...many))).resolves.toBeDefined();
    if (enough === 1) return;
    const tooFew = round(name, { attackers }, updatesOf(...many.slice(1)));
    await expect(tooFew).rejects.toMatchObject({ code: 'rule_needs' });
  });

  it('moves the model by no more than C, whoever sends whatever', async () => {
    const huge = updates.map((update) => ({ ...update, delta: [8, 8] }));
    const { delta } = await round('norm-bound', { C: 0.5 }, huge);
    expect(Math.hypot(...delta)).toBeLessThanOrEqual(0.5 + 1e-9);
  });
});

describe('fedprox', () => {
  it('asks the clients to train with its mu', () => {
    const rule = findRule('fedprox');
    expect(rule.training?.(parseOptions(rule, { mu: 0.25 }))).toEqual({ proximalMu: 0.25 });
  });
});

describe('metrics that a rule needs', () => {
  const needing = [...rules.values()].filter(({ needs }) => needs.metrics?.length);

  it.each(needing)('$name refuses an update without them when it is weighed', (rule) => {
    const facts = reader({ clientId: 'c', delta: [1] });
    const weigh = (): unknown => rule.weightOf?.(facts, parseOptions(rule, {}), emptyState);
    expect(weigh).toThrow(expect.objectContaining({ code: 'bad_facts' }));
  });

  it.each(needing)('$name: admission refuses an update without them, naming the metric', (rule) => {
    const needs = needsOf(rule, parseOptions(rule, {}));
    const all = Object.fromEntries(needs.metrics!.map((name) => [name, 0.5]));
    expect(() => checkMetrics({ metrics: all }, needs)).not.toThrow();
    for (const name of needs.metrics!) {
      const metrics = Object.fromEntries(Object.entries(all).filter(([key]) => key !== name));
      expect(() => checkMetrics({ metrics }, needs)).toThrow(
        expect.objectContaining({
          code: 'bad_facts',
          message: expect.stringContaining(`"${name}"`) as string,
        }),
      );
    }
  });

  it('are not found on the prototype of the metrics', () => {
    expect(() => checkMetrics({ metrics: {} }, { metrics: ['constructor'] })).toThrow(
      /constructor/,
    );
  });
});

describe('the simplex projection', () => {
  const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), {
    minLength: 1,
    maxLength: 12,
  });

  it('gives shares, in the order of the values', () => {
    fc.assert(
      fc.property(values, (point) => {
        const shares = projectOnSimplex(point);
        expect(shares.every((share) => share >= 0)).toBe(true);
        expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
        for (const [i, a] of point.entries()) {
          for (const [j, b] of point.entries()) {
            if (a > b) expect(shares[i]).toBeGreaterThanOrEqual(shares[j]);
          }
        }
      }),
      { seed: 3 },
    );
  });

  it('leaves what is on it, and takes corners far away', () => {
    expect(projectOnSimplex([0.25, 0.75])).toEqual([0.25, 0.75]);
    expect(projectOnSimplex([5, 1, -7])).toEqual([1, 0, 0]);
    expect(projectOnSimplex([3])).toEqual([1]);
  });
});

describe('the median', () => {
  it.each([
    [[3], 3],
    [[5, 1, 4], 4],
    [[4, 1, 2, 8], 3],
    [[1.7e308, 1.7e308], 1.7e308],
  ])('of %o is %d', (values, expected) => {
    expect(medianOf(values)).toBe(expected);
  });
});
