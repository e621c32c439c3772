/** First rounds of the linear rules that measure weights against the round before. */
import { describe, expect, it } from 'vitest';
import { foldScale } from '../../server/core/kernels/fold.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { RuleContext } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import type { TestUpdate } from './round.js';
import { aggregateWith, reader } from './round.js';

const measuring = [
  ['term', { t: 3 }],
  ['kl-dro', { tau: 0.1 }],
  ['qfedavg', { q: 5 }],
  ['inverse-variance', {}],
  ['power', { kappa: 2 }],
  ['norm-bound', { weights: 'examples' }],
] as const;

describe.each(measuring)('a first round of %s %o', (name, given) => {
  const rule = findRule(name);
  const options = parseOptions(rule, given);
  const updates: TestUpdate[] = [
    { numExamples: 7, metrics: { lossBefore: 0.5, learningRate: 0.1, variance: 9 } },
    { numExamples: 90, metrics: { lossBefore: 4, learningRate: 0.1, variance: 0.01 } },
    { numExamples: 2, metrics: { lossBefore: 2, learningRate: 0.1, variance: 2 } },
  ].map((facts, i) => ({ clientId: `c${i}`, delta: [i + 1], ...facts }));
  const fold = (weightMax: number): Partial<RuleContext<unknown>> => ({
    fold: foldScale({ cohortMax: 8, weightMax, deltaMax: 8 }),
  });

  it('gives no update more than admission was told', async () => {
    const told = updates.map((update) => rule.weightOf!(reader(update), options, emptyState));
    const most = Math.max(...told);
    const after = await aggregateWith(rule, given, [0], updates, fold(most));
    expect(Object.values(after.weights).every(Number.isFinite)).toBe(true);
    const over = aggregateWith(rule, given, [0], updates, fold(most * 0.99));
    await expect(over).rejects.toMatchObject({ code: 'over_cap' });
  });

  it('asks again in the next one only where this one left nothing', async () => {
    const { state } = await aggregateWith(rule, given, [0], updates);
    expect(Object.keys(state.values)).toEqual(['typical']);
    const alone = await aggregateWith(rule, given, [0], updates.slice(0, 1), { state });
    expect(Object.keys(alone.weights)).toEqual(['c0']);
  });

  it('refuses too many updates, and one that comes twice', async () => {
    const few = foldScale({ cohortMax: 2, weightMax: 1e6, deltaMax: 8 });
    const many = aggregateWith(rule, given, [0], updates, { fold: few });
    await expect(many).rejects.toMatchObject({ code: 'over_cap' });
    const twice = aggregateWith(rule, given, [0], [updates[0], updates[0]]);
    await expect(twice).rejects.toThrow(/two updates of client "c0"/);
    await expect(aggregateWith(rule, given, [0], [])).rejects.toMatchObject({ code: 'rule_needs' });
  });
});
