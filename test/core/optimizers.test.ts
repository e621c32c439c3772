import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { findOptimizer, optimizers } from '../../server/core/optimizers/index.js';
import { fedavg } from '../../server/core/rules/fedavg.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { AnyRule, RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { compose } from '../../server/core/rules/compose.js';
import type { TestUpdate } from './round.js';
import { aggregate, context } from './round.js';

const file = new URL('../fixtures/rules/linear.json', import.meta.url);
const rows = z.array(z.array(z.number()));
/** Computed apart from the coordinator: test/fixtures/rules/make-linear.py. */
const golden = z
  .object({
    optimizers: z.array(
      z.object({
        optimizer: z.string(),
        options: z.record(z.string(), z.json()),
        deltas: rows,
        expected: rows,
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(file, 'utf8'))).optimizers;

const deltas = [
  [0.5, -0.25, 0],
  [0.125, -1, 0],
  [-0.75, 0.5, 0.0625],
];

/** The steps that an optimizer takes over three rounds. */
function steps(name: string, options: object = {}): number[][] {
  const optimizer = findOptimizer(name);
  const parsed = parseOptions(optimizer, options);
  let state: RuleState = emptyState;
  return deltas.map((delta) => {
    const step = optimizer.apply(Float64Array.from(delta), state, parsed);
    state = step.state;
    return [...step.delta];
  });
}

function expectClose(actual: number[][], expected: number[][]): void {
  actual.forEach((row, r) =>
    row.forEach((value, e) => expect(value).toBeCloseTo(expected[r][e], 13)),
  );
}

describe('server optimizers', () => {
  it('sgd adds the aggregate as it is, or eta times it', () => {
    expect(steps('sgd')).toEqual(deltas);
    expect(steps('sgd', { eta: 0.5 })).toEqual(deltas.map((row) => row.map((d) => d / 2)));
  });

  it('momentum adds up what came before', () => {
    expectClose(steps('momentum'), [
      deltas[0],
      [0.9 * 0.5 + 0.125, 0.9 * -0.25 - 1, 0],
      [0.9 * (0.9 * 0.5 + 0.125) - 0.75, 0.9 * (0.9 * -0.25 - 1) + 0.5, 0.0625],
    ]);
    expectClose(
      steps('momentum', { eta: 2, beta: 0 }),
      deltas.map((row) => row.map((d) => 2 * d)),
    );
  });

  it('adam starts v at tau^2 and corrects no bias', () => {
    const formula = (eta: number, b1: number, b2: number, tau: number): number[][] => {
      const m = [0, 0, 0];
      const v = [tau ** 2, tau ** 2, tau ** 2];
      return deltas.map((row) =>
        row.map((d, e) => {
          m[e] = b1 * m[e] + (1 - b1) * d;
          v[e] = b2 * v[e] + (1 - b2) * d ** 2;
          return (eta * m[e]) / (Math.sqrt(v[e]) + tau);
        }),
      );
    };
    expectClose(steps('adam'), formula(0.1, 0.9, 0.99, 1e-3));
    expectClose(
      steps('adam', { eta: 0.01, beta1: 0.5, beta2: 0.9, tau: 0.1 }),
      formula(0.01, 0.5, 0.9, 0.1),
    );
    // By hand: m = 0.05, v = 0.99e-6 + 0.01 * 0.25, step = 0.1 * 0.05 / (sqrt(v) + 0.001)
    expect(steps('adam')[0][0]).toBeCloseTo(0.09802019012, 10);
  });

  it.each(golden)('$optimizer $options equals 50 digits of the formula', (one) => {
    const optimizer = findOptimizer(one.optimizer);
    const options = parseOptions(optimizer, one.options);
    let state: RuleState = emptyState;
    for (const [round, delta] of one.deltas.entries()) {
      const step = optimizer.apply(Float64Array.from(delta), state, options);
      state = step.state;
      step.delta.forEach((value, e) => expect(value).toBeCloseTo(one.expected[round][e], 13));
    }
  });

  it.each(['adam', 'yogi', 'adagrad'])('%s with tau 0 leaves what never moved', (name) => {
    const moves = steps(name, { tau: 0 }).map(([, , last]) => last);
    expect(moves.slice(0, 2)).toEqual([0, 0]);
    expect(moves[2]).toBeGreaterThan(0);
  });

  it('yogi comes down slowly where adam forgets', () => {
    const spike = [1, ...Array<number>(20).fill(0.01)];
    const last = (name: string): number => {
      const optimizer = findOptimizer(name);
      const options = parseOptions(optimizer, { eta: 1, beta1: 0, beta2: 0.5 });
      let state: RuleState = emptyState;
      let step = 0;
      for (const d of spike) {
        const after = optimizer.apply(Float64Array.of(d), state, options);
        state = after.state;
        step = after.delta[0];
      }
      return step;
    };
    // v of adam: 1e-4 and a millionth of the spike; of yogi: 0.5 less 20 halves of 1e-4.
    expect(last('adam')).toBeCloseTo(0.01 / (0.01 + 1e-3), 2);
    expect(last('yogi')).toBeCloseTo(0.01 / (Math.sqrt(0.499) + 1e-3), 5);
  });

  it('leave alone what they are given', () => {
    for (const optimizer of optimizers.values()) {
      const options = parseOptions(optimizer, {});
      const delta = Float64Array.from(deltas[0]);
      const { state } = optimizer.apply(delta, emptyState, options);
      const before = structuredClone(state);
      optimizer.apply(delta, state, options);
      expect([...delta]).toEqual(deltas[0]);
      expect(state).toEqual(before);
    }
  });

  it('refuse the state of a model of another size', () => {
    const { state } = findOptimizer('adam').apply(
      new Float64Array(2),
      emptyState,
      parseOptions(findOptimizer('adam'), {}),
    );
    expect(() =>
      findOptimizer('adam').apply(
        new Float64Array(3),
        state,
        parseOptions(findOptimizer('adam'), {}),
      ),
    ).toThrow(/2 elements, the model 3/);
  });

  it.each([
    ['sgd', { eta: 0 }],
    ['momentum', { beta: 1 }],
    ['adam', { tau: -1 }],
    ['adagrad', { beta2: 0.9 }],
    ['yogi', { beta2: 1 }],
    ['adam', { momentum: 0.9 }],
  ])('%s refuses the options %o', (name, options) => {
    expect(() => parseOptions(findOptimizer(name), options)).toThrow(
      expect.objectContaining({ code: 'rule_options' }),
    );
  });
});

describe('a rule with an optimizer on top', () => {
  const updates: TestUpdate[] = [
    { clientId: 'a', numExamples: 3, delta: [0.5, -0.25] },
    { clientId: 'b', numExamples: 1, delta: [-0.5, 0.75] },
  ];

  it('is FedAdam: the mean with Adam on top, weights as the mean gives them', async () => {
    const rule = compose(fedavg as AnyRule, findOptimizer('adam'));
    const options = { rule: {}, optimizer: parseOptions(findOptimizer('adam'), {}), after: [] };
    const ctx = context([1, 1], options);
    const first = await aggregate(rule, updates, ctx);
    const mean = await aggregate(fedavg, updates, context([1, 1], {}));
    const expected = findOptimizer('adam').apply(mean.delta, emptyState, options.optimizer);
    expect(first.delta).toEqual(expected.delta);
    expect(first.weights).toEqual({ a: 0.75, b: 0.25 });
    expect(Object.keys(first.state.tensors)).toEqual(['optimizer.m', 'optimizer.v']);

    const second = await aggregate(rule, updates, { ...ctx, state: first.state });
    expect(second.delta).toEqual(
      findOptimizer('adam').apply(mean.delta, expected.state, options.optimizer).delta,
    );
  });

  it('keeps the states of both apart', async () => {
    const inner: AnyRule = {
      ...(fedavg as AnyRule),
      weightOf: (_, __, state) => state.tensors.m[0],
      broadcast: (state) => state.tensors,
      async finish(acc, ctx) {
        const outcome = await (fedavg as AnyRule).finish(acc, ctx);
        const m = Float64Array.from([('m' in ctx.state.tensors ? ctx.state.tensors.m[0] : 0) + 7]);
        return { ...outcome, state: { tensors: { m }, values: { rounds: 1 } } };
      },
    };
    const rule = compose(inner, findOptimizer('momentum'));
    const options = { rule: {}, optimizer: { eta: 1, beta: 0.5 }, after: [] };
    const first = await aggregate(rule, updates, context([0, 0], options));
    const after = await aggregate(rule, updates, context([0, 0], options, { state: first.state }));
    expect([...after.state.tensors['rule.m']]).toEqual([14]);
    expect([...after.state.tensors['optimizer.m']]).toEqual([0.375, 0]);
    expect(after.state.values).toEqual({ 'rule.rounds': 1 });
    expect(rule.broadcast?.(after.state)).toEqual({ m: Float64Array.from([14]) });
    expect(rule.weightOf?.({} as never, options, after.state)).toBe(14);
  });

  it('needs what the rule needs', () => {
    const inner = findRule('fedgp');
    const rule = compose(inner, findOptimizer('sgd'));
    const options = rule.options.parse({ rule: { beta: 'auto' }, optimizer: {} });
    expect(rule.needs).toBe(inner.needs);
    expect(rule.needed?.(options)).toBe(inner.needs);
    expect(rule.needed?.(rule.options.parse({ rule: {}, optimizer: {} }))).toEqual({
      target: true,
    });
    expect(rule.minUpdates(options)).toBe(2);
    expect('weightMax' in rule).toBe(false);
    expect(
      compose(fedavg, findOptimizer('sgd')).weightMax?.({ rule: {}, optimizer: {}, after: [] }),
    ).toBe(2 ** 17);
  });
});
