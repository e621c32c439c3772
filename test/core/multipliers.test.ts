/** Rules that keep a multiplier of each client from round to round. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { multipliersOf } from '../../server/core/rules/linear/multipliers.js';
import { projectOnSimplex } from '../../server/core/rules/linear/simplex.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { fromZero } from './support/from-zero.js';
import { losses } from './support/updates.js';

describe('afl', () => {
  it('gives a newcomer the mean of those known, and keeps those who are away', async () => {
    const first = await fromZero('afl', {}, losses(1, 1));
    expect(first.weights).toEqual({ c0: 0.5, c1: 0.5 });
    const next = [...losses(1), { ...losses(1)[0], clientId: 'new', delta: [8] }];
    const second = await fromZero('afl', {}, next, { state: first.state });
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
    const { weights, state } = await fromZero('afl', { g: 1 }, odd);
    expect(weights.constructor).toBeCloseTo(1 / 3, 12);
    expect(Object.fromEntries(multipliersOf(state))).toEqual({
      constructor: 0.5,
      toString: 0.5,
      valueOf: 0,
    });
  });

  it('keeps the model where all who are there have come down to nothing', async () => {
    const { state } = await fromZero('afl', { g: 1 }, losses(0, 30));
    const after = await fromZero('afl', {}, losses(0), { state });
    expect([...after.delta]).toEqual([0]);
    expect(after.weights).toEqual({ c0: 0 });
  });
});

describe('feasible', () => {
  it('stops moving when every site has been below eps for long', async () => {
    const below = { eps: 1, eta: 1 };
    const { state } = await fromZero('feasible', below, losses(0, 0));
    const after = await fromZero('feasible', below, losses(0, 0), { state });
    expect([...after.delta]).toEqual([0]);
    expect(after.diagnostics.above).toBe(0);
  });

  it('never lets a hopeless site grow to infinity', async () => {
    let state: RuleState = emptyState;
    for (let turn = 0; turn < 3; turn++) {
      state = (await fromZero('feasible', { eta: 100 }, losses(1, 1e300), { state })).state;
    }
    expect(multipliersOf(state).get('c1')).toBe(2 ** 20);
    const after = await fromZero('feasible', {}, losses(1, 1), { state });
    expect(after.weights.c0).toBeGreaterThan(0);
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
