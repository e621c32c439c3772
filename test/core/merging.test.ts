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
