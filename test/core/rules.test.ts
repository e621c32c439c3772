/** What holds for every rule: runs over the registry, so a new rule is tested by being there. */
import { describe, expect, it } from 'vitest';
import { ruleInfo as ruleInfoSchema } from '../../protocol/http.js';
import { findOptimizer, optimizers } from '../../server/core/optimizers/index.js';
import type { LossOracle } from '../../server/core/ports.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import { findRule, needsOf, parseOptions, ruleInfo, rules } from '../../server/core/rules/index.js';
import type { AnyRule } from '../../server/core/rules/rule.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, layoutFor } from './round.js';

const size = 7;
const layout = layoutFor(size, { kernel: 4, bias: 2, scale: 1 });
const model = [1, -2, 0.5, -0, 3, 0.125, -1];

/** An oracle that is content with every model. */
const content: LossOracle = {
  batches: 2,
  lossAndGrad: (params) => Promise.resolve({ loss: 1, grad: new Float32Array(params.length) }),
};

/** A cohort with one target, which sends its batches, and sources. */
function cohort(count: number, delta: (client: number) => number[]): TestUpdate[] {
  const random = randomStream(count, 'contract');
  return Array.from({ length: count }, (_, i) => ({
    clientId: `client-${i}`,
    role: i === 1 ? 'target' : 'source',
    numExamples: 1 + random.below(100),
    numSteps: 1 + random.below(9),
    delta: delta(i),
    ...(i === 1 && { aux: { 'batch.0': delta(20), 'batch.1': delta(21), 'batch.2': delta(22) } }),
  }));
}

function drawn(seed: number): number[] {
  const random = randomStream(seed, 'delta');
  return Array.from({ length: size }, () => (random.below(129) - 64) / 64);
}

function run(rule: AnyRule, options: object, updates: readonly TestUpdate[]): Promise<Aggregated> {
  const oracle = needsOf(rule, parseOptions(rule, options)).oracle ? content : null;
  return aggregateWith(rule, options, model, updates, { layout, oracle });
}

/** Every rule with its defaults, and where it asks more of clients under some option, with that. */
const variants = [...rules.values()].flatMap((rule) => [
  { title: rule.name, rule, options: {} },
  ...(rule.needs.vectors
    ? [{ title: `${rule.name}, beta auto`, rule, options: { beta: 'auto' } }]
    : []),
]);

describe.each(variants)('$title', ({ rule, options }) => {
  it('adds a change that all clients agree on', async () => {
    const delta = drawn(3);
    const same = cohort(5, () => delta);
    const { model: after } = await run(
      rule,
      { ...options, ...('beta' in options && { betaMax: 0.5 }) },
      same,
    );
    after.forEach((value, e) => expect(value).toBeCloseTo(model[e] + delta[e], 6));
  });

  it('gives the same bits for any order of arrival', async () => {
    const updates = cohort(6, drawn);
    const first = await run(rule, options, updates);
    for (let seed = 0; seed < 4; seed++) {
      const order = shuffled(updates, randomStream(seed, 'order'));
      expect(await run(rule, options, order)).toEqual(first);
    }
  });

  it('keeps every bit of the model where no client moved', async () => {
    const { model: after } = await run(
      rule,
      options,
      cohort(4, () => drawn(1).map(() => 0)),
    );
    expect([...after].map((value, e) => Object.is(value, model[e]))).toEqual(model.map(() => true));
  });

  it('takes a step in proportion to the updates', async () => {
    const steps = async (factor: number): Promise<Float64Array> =>
      (
        await run(
          rule,
          options,
          cohort(5, (i) => drawn(i).map((x) => x * factor)),
        )
      ).delta;
    const one = await steps(1);
    (await steps(0.25)).forEach((value, e) => expect(value).toBeCloseTo(one[e] / 4, 7));
  });

  it('says the weight of every client, as finite numbers', async () => {
    const { weights, diagnostics } = await run(rule, options, cohort(4, drawn));
    expect(Object.keys(weights).sort()).toEqual(['client-0', 'client-1', 'client-2', 'client-3']);
    expect([...Object.values(weights), ...Object.values(diagnostics)].every(Number.isFinite)).toBe(
      true,
    );
    expect(Object.values(weights).reduce((a, b) => a + b, 0)).not.toBe(0);
  });

  it('keeps only plain data as state, and leaves the state that it was given', async () => {
    const state = Object.freeze({ tensors: Object.freeze({}), values: Object.freeze({}) });
    const oracle = needsOf(rule, parseOptions(rule, options)).oracle ? content : null;
    const after = await aggregateWith(rule, options, model, cohort(4, drawn), {
      layout,
      oracle,
      state,
    });
    expect(JSON.parse(JSON.stringify(after.state.values))).toEqual(after.state.values);
    expect(Object.values(after.state.tensors).every((t) => t instanceof Float64Array)).toBe(true);
  });

  it('refuses fewer updates than it can work with', async () => {
    const parsed = parseOptions(rule, options);
    const few = cohort(4, drawn).slice(1, rule.minUpdates(parsed));
    await expect(run(rule, options, few)).rejects.toMatchObject({ code: 'rule_needs' });
  });
});

describe('the registry', () => {
  it('has the rules and optimizers that a run may name', () => {
    expect([...rules.keys()]).toEqual([
      ...['fedavg', 'uniform', 'fedlaw', 'fedda', 'fedgp', 'median', 'trimmed-mean'],
    ]);
    expect([...optimizers.keys()]).toEqual(['sgd', 'momentum', 'adam']);
    for (const [name, rule] of rules) expect(findRule(name)).toBe(rule);
  });

  it.each([
    ['fedavgg', 'did you mean "fedavg"?'],
    ['FedGP', 'did you mean "fedgp"?'],
    ['trimmedmean', 'did you mean "trimmed-mean"?'],
    ['constructor', 'there are fedavg, uniform'],
    ['', 'there are fedavg, uniform'],
  ])('answers a rule "%s" that there is not with: %s', (name, hint) => {
    expect(() => findRule(name)).toThrow(
      expect.objectContaining({
        code: 'rule_unknown',
        message: expect.stringContaining(hint) as string,
      }),
    );
  });

  it('answers an optimizer that there is not the same way', () => {
    expect(() => findOptimizer('adm')).toThrow(
      expect.objectContaining({
        code: 'rule_unknown',
        message: expect.stringContaining('"adam"') as string,
      }),
    );
  });

  it.each([
    ['fedlaw', { gama: 1 }, /no option "gama"; did you mean "gamma"\?/],
    ['fedlaw', { gammaMax: -1 }, /option "gammaMax" of "fedlaw"/],
    ['fedlaw', { learn: 'everything' }, /option "learn".*"both"/],
    ['fedgp', { beta: 'automatic' }, /option "beta".*number from 0 to 1, or "auto"/],
    ['fedgp', { beta: 1.5 }, /option "beta"/],
    ['fedavg', { q: 1 }, /no option "q"; there are none/],
    ['trimmed-mean', { beta: 0.5 }, /option "beta"/],
    ['median', 'uniform', /"median"/],
  ])('refuses %s the options %o', (name, options, message) => {
    expect(() => parseOptions(findRule(name), options)).toThrow(
      expect.objectContaining({
        code: 'rule_options',
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  it("has the papers' defaults", () => {
    const defaults = (name: string): unknown => parseOptions(findRule(name), {});
    expect(defaults('fedlaw')).toEqual({
      parametrisation: 'exp',
      learn: 'both',
      gamma: 1,
      serverOptimizer: 'adam',
      learningRate: 0.005,
      beta1: 0.5,
      beta2: 0.999,
      epsilon: 1e-8,
      epochs: 20,
    });
    const adaptation = {
      beta: 0.5,
      betaMax: 1,
      sourceWeights: 'uniform',
      align: 'none',
      granularity: 'tensor',
    };
    expect(defaults('fedda')).toEqual(adaptation);
    expect(defaults('fedgp')).toEqual({ ...adaptation, betaRule: 'gp' });
    expect(defaults('trimmed-mean')).toEqual({ beta: 0.2, weights: 'uniform' });
    expect(parseOptions(findOptimizer('sgd'), {})).toEqual({ eta: 1 });
    expect(parseOptions(findOptimizer('momentum'), {})).toEqual({ eta: 1, beta: 0.9 });
    expect(parseOptions(findOptimizer('adam'), {})).toEqual({
      eta: 0.1,
      beta1: 0.9,
      beta2: 0.99,
      tau: 1e-3,
    });
  });

  it.each([...rules.values()])('describes $name as the protocol says', (rule) => {
    const info = ruleInfo(rule);
    expect(ruleInfoSchema.parse(info)).toEqual(info);
    expect(info.options).toMatchObject({ type: 'object', additionalProperties: false });
    expect(rule.paper).toMatch(/\d{4}/);
  });
});
