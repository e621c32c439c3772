/**
 * The linear rules of the catalogue against values computed apart from them: 50 digits, straight from
 * the papers' formulas (test/fixtures/rules/make-linear.py).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { multipliersOf } from '../../server/core/rules/linear/multipliers.js';
import { rules } from '../../server/core/rules/index.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { fromZero } from './support/from-zero.js';

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

describe('golden values', () => {
  it.each(cases)('$rule $options, $rounds.length rounds', async ({ rule, options, rounds }) => {
    let state = emptyState;
    for (const { updates, expected } of rounds) {
      const after = await fromZero(rule, options, updates, { state });
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
