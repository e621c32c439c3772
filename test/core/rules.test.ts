/** What holds for every rule: runs over the registry, so a new rule is tested by being there. */
import { describe, expect, it } from 'vitest';
import { ruleInfo as ruleInfoSchema } from '../../protocol/http.js';
import { findOptimizer, optimizers } from '../../server/core/optimizers/index.js';
import type { LossOracle } from '../../server/core/ports.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import { findRule, needsOf, parseOptions, ruleInfo, rules } from '../../server/core/rules/index.js';
import type { AnyRule } from '../../server/core/rules/rule.js';
import { findStep, steps } from '../../server/core/steps/index.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, layoutFor } from './round.js';

const size = 7;
const layout = layoutFor(size, { kernel: 4, bias: 2, scale: 1 });
const model = [1, -2, 0.5, -0, 3, 0.125, -1];
/** Enough for Bulyan with a fifth of attackers, and odd. */
const K = 13;

/** An oracle that is content with every model. */
const content: LossOracle = {
  batches: 2,
  lossAndGrad: (params) => Promise.resolve({ loss: 1, grad: new Float32Array(params.length) }),
};

/** A bowl for each batch, its lowest point not far from the model. */
const bowl: LossOracle = {
  batches: 2,
  lossAndGrad(params, batch) {
    const lowest = drawn(40 + batch).map((step, e) => model[e] + step);
    const grad = params.map((value, e) => (value - lowest[e]) / 4);
    const loss = 0.5 + grad.reduce((sum, slope) => sum + 2 * slope * slope, 0);
    return Promise.resolve({ loss, grad });
  },
};

function drawn(seed: number): number[] {
  const random = randomStream(seed, 'delta');
  return Array.from({ length: size }, () => (random.below(129) - 64) / 64);
}

interface Variant {
  readonly title: string;
  readonly rule: AnyRule;
  readonly options: object;
}

/** What each client sends: one of them is a target; all metrics and vectors that the rule asks for. */
function cohort(
  { rule, options }: Variant,
  count: number,
  delta: (client: number) => number[],
): TestUpdate[] {
  const random = randomStream(count, 'contract');
  const { vectors = [] } = needsOf(rule, parseOptions(rule, options));
  return Array.from({ length: count }, (_, i) => {
    const role = i === 1 ? ('target' as const) : ('source' as const);
    const sent = vectors.filter(({ roles }) => roles.includes(role));
    const aux = sent.flatMap(({ name, many }) =>
      many
        ? [20, 21, 22].map((seed, member) => [`${name}.${member}`, delta(seed)] as const)
        : // Some are squares: none below zero.
          [[name, drawn(60 + i).map(Math.abs)] as const],
    );
    return {
      clientId: `client-${String(i).padStart(2, '0')}`,
      role,
      numExamples: 1 + random.below(100),
      numSteps: 1 + random.below(9),
      metrics: {
        loss: 0.25,
        learningRate: 0.1,
        lossBefore: 0.5 + random.below(8) / 8,
        variance: 0.5 + random.below(8) / 8,
      },
      delta: delta(i),
      aux: Object.fromEntries(aux),
    };
  });
}

function run(
  { rule, options }: Pick<Variant, 'rule' | 'options'>,
  updates: readonly TestUpdate[],
  answers = bowl,
): Promise<Aggregated> {
  const oracle = needsOf(rule, parseOptions(rule, options)).oracle ? answers : null;
  return aggregateWith(rule, options, model, updates, { layout, oracle });
}

/** Every rule, and where it asks more of clients under some option, with that too. */
const variants: Variant[] = [...rules.values()].flatMap((rule) => {
  const options = {};
  const plain = { title: rule.name, rule, options };
  const asksMore =
    rule.needs.vectors?.length !== needsOf(rule, parseOptions(rule, options)).vectors?.length;
  return asksMore
    ? [plain, { title: `${rule.name}, beta auto`, rule, options: { beta: 'auto', betaMax: 0.5 } }]
    : [plain];
});

/** Rules that are not, where the loss is flat, the update that all agree on; and why. */
const notTheMean: Readonly<Record<string, string>> = {
  fednova: 'tau_eff sum p_i / tau_i is above 1 where the numbers of steps differ',
  qfedavg: 'the step is normalised by h_i, which grows with |D_i|',
  fedasync: 'mixes a of the new model in',
  feddyn: 'h adds to the mean of the models',
  fedmgda: 'goes along the directions of the updates, whatever their length',
  mimic: 'counts only what points to where the server would go, which is nowhere',
  influence: 'goes as far as the loss falls, and a flat one falls nowhere',
  fltrust: 'trusts what points along its own update, which is zero',
  'proxy-only': 'ignores the updates',
};

/** Rules whose step is not in proportion to the updates; and why. */
const notInProportion: Readonly<Record<string, string>> = {
  qfedavg: 'h_i has |D_i|^2 in it',
  fedmgda: 'the length of the updates does not count',
};

describe.each(variants)('$title', (variant) => {
  const { rule, options } = variant;

  const isMean = !(rule.name in notTheMean);
  it(`adds ${isMean ? '' : 'something else than '}a change that all clients agree on`, async () => {
    const delta = drawn(3);
    const same = cohort(variant, K, () => delta);
    const { model: after } = await run(variant, same, content);
    const off = after.map((value, e) => Math.abs(value - model[e] - delta[e]));
    if (isMean) expect(Math.max(...off)).toBeLessThan(1e-6);
    else expect(Math.max(...off)).toBeGreaterThan(1e-2);
  });

  it('gives the same bits for any order of arrival', async () => {
    const updates = cohort(variant, K, drawn);
    const first = await run(variant, updates);
    for (let seed = 0; seed < 4; seed++) {
      const order = shuffled(updates, randomStream(seed, 'order'));
      expect(await run(variant, order)).toEqual(first);
    }
  });

  it('changes nothing where all numbers of examples are multiplied', async () => {
    const updates = cohort(variant, K, drawn);
    const one = await run(variant, updates);
    for (const factor of [2, 7]) {
      const many = updates.map((u) => ({ ...u, numExamples: u.numExamples! * factor }));
      const { delta, weights } = await run(variant, many);
      // The exact fold rounds each term to its grid: that is all that may differ.
      delta.forEach((value, e) => expect(value).toBeCloseTo(one.delta[e], 6));
      for (const [id, weight] of Object.entries(weights)) {
        expect(weight).toBeCloseTo(one.weights[id], 6);
      }
    }
  });

  it('keeps every bit of the model where no client moved and the loss is flat', async () => {
    const still = cohort(variant, K, () => drawn(1).map(() => 0));
    const { model: after } = await run(variant, still, content);
    expect([...after].map((value, e) => Object.is(value, model[e]))).toEqual(model.map(() => true));
  });

  const inProportion = rule.name in notInProportion ? [] : ['a step'];
  it.each(inProportion)('takes %s in proportion to the updates', async () => {
    const steps = async (factor: number): Promise<Float64Array> => {
      const updates = cohort(variant, K, (i) => drawn(i).map((x) => x * factor));
      return (await run(variant, updates, content)).delta;
    };
    const one = await steps(1);
    (await steps(0.25)).forEach((value, e) => expect(value).toBeCloseTo(one[e] / 4, 7));
  });

  it('says the weight of every client, as finite numbers', async () => {
    const updates = cohort(variant, K, drawn);
    const { weights, diagnostics } = await run(variant, updates);
    expect(Object.keys(weights).sort()).toEqual(updates.map(({ clientId }) => clientId));
    expect([...Object.values(weights), ...Object.values(diagnostics)].every(Number.isFinite)).toBe(
      true,
    );
    if (rule.name !== 'proxy-only') {
      expect(Object.values(weights).some((weight) => weight !== 0)).toBe(true);
    }
  });

  it('keeps only plain data as state, and leaves the state that it was given', async () => {
    const state = Object.freeze({ tensors: Object.freeze({}), values: Object.freeze({}) });
    const oracle = needsOf(rule, parseOptions(rule, options)).oracle ? bowl : null;
    const updates = cohort(variant, K, drawn);
    const first = await aggregateWith(rule, options, model, updates, { layout, oracle, state });
    const kept = structuredClone(first.state);
    const more = { layout, oracle, state: first.state, round: 2 };
    const second = await aggregateWith(rule, options, model, updates, more);
    expect(first.state).toEqual(kept);
    for (const { values, tensors } of [first.state, second.state]) {
      expect(JSON.parse(JSON.stringify(values))).toEqual(values);
      expect(Object.values(tensors).every((tensor) => tensor instanceof Float64Array)).toBe(true);
    }
  });

  it('refuses fewer updates than it can work with', async () => {
    const fewest = rule.minUpdates(parseOptions(rule, options));
    // From the second on, so that the target, which some need, is among them.
    const few = cohort(variant, K, drawn).slice(1, fewest);
    await expect(run(variant, few)).rejects.toMatchObject({ code: 'rule_needs' });
  });
});

describe.each([...rules.values()])('$name', (rule) => {
  it('is described in a line, with its paper', () => {
    expect(rule.summary).toMatch(/^[A-Z].{10,88}\.$/);
    expect(rule.paper).toMatch(/\d{4}/);
    const info = ruleInfo(rule);
    expect(ruleInfoSchema.parse(info)).toEqual(info);
    expect(info.options).toMatchObject({ type: 'object', additionalProperties: false });
  });

  it('refuses an option that it has not, and suggests the nearest', () => {
    const names = Object.keys(ruleInfo(rule).options.properties ?? {});
    const hint = names.length > 0 ? `did you mean "${names[0]}"?` : 'there are none';
    const given = { [`${names[0] ?? 'nothin'}g`]: 1 };
    expect(() => parseOptions(rule, given)).toThrow(
      expect.objectContaining({
        code: 'rule_options',
        message: expect.stringContaining(hint) as string,
      }),
    );
  });

  it('needs no more under its defaults than it says', () => {
    const needs = needsOf(rule, parseOptions(rule, {}));
    expect(rule.needs.oracle ?? false).toBe(needs.oracle ?? rule.needs.oracle ?? false);
    expect((needs.vectors ?? []).length).toBeLessThanOrEqual((rule.needs.vectors ?? []).length);
  });
});

describe('the registry', () => {
  it('has every rule of the catalogue', () => {
    expect([...rules.keys()]).toEqual(
      expect.arrayContaining([
        ...[
          'fedavg',
          'uniform',
          'power',
          'inverse-variance',
          'fednova',
          'qfedavg',
          'term',
          'kl-dro',
        ],
        ...['afl', 'feasible', 'fedbuff', 'fedasync', 'norm-bound', 'norm-bound-median', 'fedprox'],
        ...[
          'scaffold',
          'feddyn',
          'fedlaw',
          'fedda',
          'fedgp',
          'krum',
          'multi-krum',
          'bulyan',
          'dnc',
        ],
        ...['geometric-median', 'centered-clipping', 'fltrust', 'clipped-clustering', 'signguard'],
        ...['fedmgda', 'influence', 'mimic', 'model-stock', 'soup-uniform', 'soup-greedy'],
        ...['soup-learned', 'fisher', 'median', 'trimmed-mean'],
        ...['best-client', 'proxy-only', 'proxy-finetune', 'target-only'],
      ]),
    );
    for (const [name, rule] of rules) expect(findRule(name)).toBe(rule);
  });

  it('has the server optimizers and the steps after aggregation', () => {
    expect([...optimizers.keys()]).toEqual(['sgd', 'momentum', 'adagrad', 'adam', 'yogi']);
    expect([...steps.keys()]).toEqual(['ema', 'bcwi']);
    for (const { summary } of [...optimizers.values(), ...steps.values()]) {
      expect(summary).toMatch(/^[A-Z].{10,88}\.$/);
    }
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

  it('answers an optimizer or a step that there is not the same way', () => {
    expect(() => findOptimizer('adm')).toThrow(
      expect.objectContaining({
        code: 'rule_unknown',
        message: expect.stringContaining('"adam"') as string,
      }),
    );
    expect(() => findStep('emma')).toThrow(/did you mean "ema"/);
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
});
