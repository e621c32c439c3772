import { describe, expect, it } from 'vitest';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import { medianOf } from '../../server/core/rules/statistics.js';
import { fromZero } from './support/from-zero.js';
import { updatesWith } from './support/updates.js';

describe('norm-bound', () => {
  const updates = updatesWith({ delta: [3, 4] }, { delta: [0, 1] }, { delta: [-2, 0] });

  it('bounds by its own median in a first round without C, and by that one in the next', async () => {
    const first = await fromZero('norm-bound', {}, updates);
    // (3, 4) comes down to length 2: (1.2, 1.6); then the mean.
    expect(first.delta[0]).toBeCloseTo((1.2 - 2) / 3, 9);
    expect(first.delta[1]).toBeCloseTo((1.6 + 1) / 3, 9);
    expect(first.diagnostics).toMatchObject({ bound: 2, clipped: 1 });
    const longer = updates.map((update) => ({ ...update, delta: [0, 8] }));
    const second = await fromZero('norm-bound', {}, longer, { state: first.state });
    expect(second.delta[1]).toBeCloseTo(2, 9);
    expect(second.diagnostics).toMatchObject({ bound: 2, clipped: 3 });
  });

  it('is not brought to a stop by a round in which most did not move', async () => {
    const first = await fromZero('norm-bound', {}, updates);
    const still = updatesWith({ delta: [0, 0] }, { delta: [0, 0] }, { delta: [1, 1] });
    const { state } = await fromZero('norm-bound', {}, still, { state: first.state });
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
    await expect(fromZero(name, { attackers }, updatesWith(...many))).resolves.toBeDefined();
    if (enough === 1) return;
    const tooFew = fromZero(name, { attackers }, updatesWith(...many.slice(1)));
    await expect(tooFew).rejects.toMatchObject({ code: 'rule_needs' });
  });

  it('moves the model by no more than C, whoever sends whatever', async () => {
    const huge = updates.map((update) => ({ ...update, delta: [8, 8] }));
    const { delta } = await fromZero('norm-bound', { C: 0.5 }, huge);
    expect(Math.hypot(...delta)).toBeLessThanOrEqual(0.5 + 1e-9);
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
