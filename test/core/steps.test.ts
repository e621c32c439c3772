/** Steps after aggregation, and how they are composed with a rule and an optimizer. */
import { describe, expect, it } from 'vitest';
import { findOptimizer } from '../../server/core/optimizers/index.js';
import { compose } from '../../server/core/rules/compose.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { averageOf } from '../../server/core/steps/ema.js';
import { findStep, steps } from '../../server/core/steps/index.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregate, context } from './round.js';

const ema = findStep('ema');
const bcwi = findStep('bcwi');

/** Every client moves every parameter by this. */
const all = (delta: readonly number[]): TestUpdate[] => [
  { clientId: 'a', numExamples: 3, delta },
  { clientId: 'b', numExamples: 1, delta },
];

/** fedavg, sgd, and these steps with their options. */
function round(
  named: readonly (readonly [string, object])[],
  model: readonly number[],
  delta: readonly number[],
  state: RuleState = emptyState,
): Promise<Aggregated> {
  const rule = compose(
    findRule('fedavg'),
    findOptimizer('sgd'),
    named.map(([name]) => findStep(name)),
  );
  const after = named.map(([name, options]) => parseOptions(findStep(name), options));
  return aggregate(
    rule,
    all(delta),
    context(model, { rule: {}, optimizer: { eta: 1 }, after }, { state }),
  );
}

describe('bcwi', () => {
  it('goes 1 - a of the way from the old model to the new one', async () => {
    const { model, delta, state } = await round([['bcwi', { a: 0.75 }]], [1, -2], [4, 0.5]);
    expect([...delta]).toEqual([1, 0.125]);
    expect([...model]).toEqual([2, -1.875]);
    expect(state).toEqual(emptyState);
  });

  it('goes half of it by default, and all of it with a 0', async () => {
    expect([...(await round([['bcwi', {}]], [0], [3])).model]).toEqual([1.5]);
    expect([...(await round([['bcwi', { a: 0 }]], [0], [3])).model]).toEqual([3]);
    expect(() => parseOptions(bcwi, { a: 1 })).toThrow(/option "a"/);
  });
});

describe('ema', () => {
  it('starts at the first model and follows the checkpoints, while training goes its own way', async () => {
    const options = [['ema', { d: 0.75 }]] as const;
    const first = await round(options, [1, 8], [4, 0]);
    expect([...first.model]).toEqual([5, 8]);
    // .75 * 1 + .25 * 5, .75 * 8 + .25 * 8
    expect([...averageOf(first.state)!]).toEqual([2, 8]);
    const second = await round(options, [...first.model], [1, -4], first.state);
    expect([...second.model]).toEqual([6, 4]);
    // .75 * 2 + .25 * 6, .75 * 8 + .25 * 4
    expect([...averageOf(second.state)!]).toEqual([3, 7]);
    expect([...averageOf(first.state)!]).toEqual([2, 8]);
  });

  it('averages what float32 made of the new model', async () => {
    const { model, state } = await round([['ema', { d: 0 }]], [1], [2 ** -25]);
    expect([...model]).toEqual([1]);
    expect([...averageOf(state)!]).toEqual([1]);
  });

  it('is not there in the state of a run without it', async () => {
    expect(averageOf(emptyState)).toBeNull();
    expect(averageOf((await round([['bcwi', {}]], [1], [1])).state)).toBeNull();
    // A rule may call a tensor of its own the same.
    const named = { tensors: { 'rule.average': Float64Array.of(1) }, values: {} };
    expect(averageOf(named)).toBeNull();
  });

  it('refuses the average of a model of another size', () => {
    const options = parseOptions(ema, {});
    const input = { model: Float32Array.of(1), delta: Float64Array.of(1) };
    const { state } = ema.apply({ ...input, state: emptyState }, options);
    const larger = { model: Float32Array.of(1, 2), delta: Float64Array.of(1, 2), state };
    expect(() => ema.apply(larger, options)).toThrow(/1 elements, the model 2/);
  });
});

describe('several steps', () => {
  it('each see what the one before made, and keep their states apart', async () => {
    const options = [
      ['bcwi', { a: 0.5 }],
      ['ema', { d: 0.5 }],
      ['ema', { d: 0 }],
    ] as const;
    const { model, state } = await round(options, [0], [8]);
    expect([...model]).toEqual([4]);
    expect(Object.keys(state.tensors)).toEqual(['after.1.average', 'after.2.average']);
    expect([...state.tensors['after.1.average']]).toEqual([2]);
    // Of several averages, the last one.
    expect([...averageOf(state)!]).toEqual([4]);
  });

  it('come after the server optimizer, whose state goes on as without them', async () => {
    const options = { rule: {}, optimizer: { eta: 1, beta: 0.5 }, after: [{ a: 0.5 }] };
    const rule = compose(findRule('uniform'), findOptimizer('momentum'), [bcwi]);
    const first = await aggregate(rule, all([2]), context([0], options));
    const second = await aggregate(rule, all([2]), context([0], options, { state: first.state }));
    expect([...first.delta]).toEqual([1]);
    // m = .5 * 2 + 2 = 3, and half of it.
    expect([...second.delta]).toEqual([1.5]);
    expect([...second.state.tensors['optimizer.m']]).toEqual([3]);
  });

  it('parse their options with their defaults, one for each', () => {
    const rule = compose(findRule('uniform'), findOptimizer('sgd'), [ema, bcwi]);
    expect(rule.options.parse({ rule: {}, optimizer: {} })).toEqual({
      rule: {},
      optimizer: { eta: 1 },
      after: [{ d: 0.9 }, { a: 0.5 }],
    });
    expect(rule.options.safeParse({ rule: {}, optimizer: {}, after: [{}] }).success).toBe(false);
    expect(rule.name).toBe('uniform+sgd+ema+bcwi');
    expect(() =>
      parseOptions(rule, { rule: {}, optimizer: {}, after: [{}, { decay: 1 }] }),
    ).toThrow(
      expect.objectContaining({
        code: 'rule_options',
        message: expect.stringContaining('"bcwi" has no option "decay"') as string,
      }),
    );
  });
});

describe('every step', () => {
  it.each([...steps.values()])(
    '$name leaves alone what it is given, and refuses unknown options',
    (step) => {
      const options = parseOptions(step, {});
      const model = Float32Array.of(1, 2);
      const delta = Float64Array.of(0.5, -1);
      const first = step.apply({ model, delta, state: emptyState }, options);
      const kept = structuredClone(first.state);
      step.apply({ model, delta, state: first.state }, options);
      expect([...model]).toEqual([1, 2]);
      expect([...delta]).toEqual([0.5, -1]);
      expect(first.state).toEqual(kept);
      expect(() => parseOptions(step, { decay: 1 })).toThrow(/no option "decay"/);
    },
  );
});
