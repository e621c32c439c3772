import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import cases from '../fixtures/rules/coordinate.json' with { type: 'json' };
import { coordinateRule } from '../../server/core/rules/families/coordinate.js';
import { findRule } from '../../server/core/rules/index.js';
import type { TestUpdate } from './round.js';
import { aggregate, aggregateWith, context } from './round.js';

const updatesOf = (
  deltas: readonly (readonly number[])[],
  examples: readonly number[] = [],
): TestUpdate[] =>
  deltas.map((delta, i) => ({ clientId: `c${i}`, delta, numExamples: examples[i] ?? 1 }));

describe('coordinate rules', () => {
  // test/fixtures/rules/make.py
  it.each(cases.map((c, i) => [`${c.rule} ${JSON.stringify(c.options)} ${i}`, c] as const))(
    'agree with an independent computation: %s',
    async (_, c) => {
      const updates = updatesOf(c.deltas, c.examples);
      const after = await aggregateWith(findRule(c.rule), c.options, c.model, updates);
      after.delta.forEach((value, e) => expect(c.model[e] + value).toBeCloseTo(c.expected[e], 13));
    },
  );

  it('drop floor(beta * K) values at each end', async () => {
    const values = [9, -50, 1, 2, 100, 3, 4, -1, 5, 6].map((x) => [x / 16]);
    const run = async (beta: number): Promise<number> =>
      (await aggregateWith(findRule('trimmed-mean'), { beta }, [0], updatesOf(values))).delta[0] *
      16;
    expect(await run(0.2)).toBe((1 + 2 + 3 + 4 + 5 + 6) / 6);
    expect(await run(0.19)).toBe((-1 + 1 + 2 + 3 + 4 + 5 + 6 + 9) / 8);
    expect(await run(0.49)).toBe((3 + 4) / 2);
  });

  it('give each client the share of coordinates that was taken from it', async () => {
    const deltas = [
      [1, 9, 5, 0],
      [2, 8, 4, 0],
      [3, 7, 6, 0],
    ].map((row) => row.map((x) => x / 16));
    const { weights } = await aggregateWith(
      findRule('median'),
      {},
      [0, 0, 0, 0],
      updatesOf(deltas),
    );
    // Medians: c1, c1, c0; in the last all are equal, and the middle one by id is c1.
    expect(weights).toEqual({ c0: 0.25, c1: 0.75, c2: 0 });
    const even = await aggregateWith(findRule('median'), {}, [0], updatesOf([[1], [2]]));
    expect(even.weights).toEqual({ c0: 0.5, c1: 0.5 });
  });

  it('order negative, subnormal and zero values as numbers', async () => {
    const sorted = [-3e38, -1, -(2 ** -149), -0, 0, 2 ** -149, 2 ** -126, 0.5, 3e38];
    const rank = (at: number) =>
      coordinateRule({
        name: 'rank',
        paper: 'none',
        options: z.strictObject({}),
        statistic: () => ({ from: at, to: at + 1 }),
      });
    const fold = { cohortMax: 9, weightMax: 1, deltaMax: 4e38, termBits: 0, weightBits: 0 };
    for (const [at, value] of sorted.entries()) {
      const shuffledValues = [5, 0, 8, 2, 7, 4, 1, 6, 3].map((i) => [sorted[i]]);
      const { delta } = await aggregate(
        rank(at),
        updatesOf(shuffledValues),
        context([0], {}, { fold }),
      );
      expect(delta[0] + 0).toBe(Math.fround(value) + 0);
    }
  });

  it('are the mean for a cohort that agrees, and lie between the extremes otherwise', async () => {
    const value = fc.integer({ min: -256, max: 256 }).map((n) => n / 64);
    const rule = fc.constantFrom('median', 'trimmed-mean');
    await fc.assert(
      fc.asyncProperty(rule, fc.array(value, { minLength: 1, maxLength: 30 }), async (name, xs) => {
        const run = (values: readonly number[]): Promise<{ delta: Float64Array }> =>
          aggregateWith(findRule(name), {}, [0], updatesOf(values.map((x) => [x])));
        const { delta } = await run(xs);
        expect(delta[0]).toBeGreaterThanOrEqual(Math.min(...xs));
        expect(delta[0]).toBeLessThanOrEqual(Math.max(...xs));
        expect((await run(xs.map(() => xs[0]))).delta[0]).toBe(xs[0]);
      }),
      { seed: 5, numRuns: 150 },
    );
  });

  it('agree with themselves where every client has the weight 1, which ranks one by one', async () => {
    const rule = fc.constantFrom(
      ['median', {}] as const,
      ['trimmed-mean', { beta: 0.2 }] as const,
      ['trimmed-mean', { beta: 0.45 }] as const,
      ['trimmed-mean', { beta: 0 }] as const,
    );
    const value = fc.integer({ min: -3, max: 3 }).map((n) => n / 8);
    const cohort = fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 9 }))
      .chain(([count, size]) =>
        fc.array(fc.array(value, { minLength: size, maxLength: size }), {
          minLength: count,
          maxLength: count,
        }),
      );
    await fc.assert(
      fc.asyncProperty(rule, cohort, async ([name, options], deltas) => {
        const run = (weights: string): ReturnType<typeof aggregateWith> =>
          aggregateWith(
            findRule(name),
            { ...options, weights },
            deltas[0].map(() => 0),
            updatesOf(deltas),
          );
        const [fast, slow] = [await run('uniform'), await run('examples')];
        expect(fast.delta).toEqual(slow.delta);
        for (const [client, weight] of Object.entries(slow.weights)) {
          expect(fast.weights[client]).toBeCloseTo(weight, 12);
        }
      }),
      { seed: 6, numRuns: 100 },
    );
  });

  it('refuse a window that is not there', async () => {
    const rule = coordinateRule({
      name: 'odd',
      paper: 'none',
      options: z.strictObject({}),
      window: (count) => ({ from: 0, to: count + 1 }),
      statistic: () => ({ from: 0, to: 1 }),
    });
    await expect(aggregate(rule, updatesOf([[1], [2]]), context([0], {}))).rejects.toThrow(
      /the rule "odd" took the ranks 0 to 3 of 2/,
    );
  });

  it('refuse a statistic that takes ranks which are not there', async () => {
    for (const window of [
      { from: 0, to: 0 },
      { from: -1, to: 1 },
      { from: 0, to: 4 },
      { from: 0.5, to: 1 },
    ]) {
      const rule = coordinateRule({
        name: 'odd',
        paper: 'none',
        options: z.strictObject({}),
        statistic: () => window,
      });
      await expect(aggregate(rule, updatesOf([[1], [2], [3]]), context([0], {}))).rejects.toThrow(
        /the rule "odd" took the ranks/,
      );
    }
  });
});
