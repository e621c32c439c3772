/** Where one rule must be another: what the papers say of special cases. */
import { describe, expect, it } from 'vitest';
import { findOptimizer } from '../../server/core/optimizers/index.js';
import { randomStream } from '../../server/core/random.js';
import { compose } from '../../server/core/rules/compose.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregate, aggregateWith, context } from './round.js';

const size = 9;
const model = Array.from({ length: size }, (_, e) => e / 8 - 0.5);

function cohort(seed: number, count = 11): TestUpdate[] {
  const random = randomStream(seed, 'conformance');
  return Array.from({ length: count }, (_, i) => ({
    clientId: `client-${String(i).padStart(2, '0')}`,
    numExamples: 1 + random.below(500),
    numSteps: 5,
    metrics: { lossBefore: 0.75, learningRate: 0.1, variance: 2 },
    delta: Array.from({ length: size }, () => (random.below(257) - 128) / 128),
  }));
}

const run = (name: string, options: object, updates = cohort(1)): Promise<Aggregated> =>
  aggregateWith(findRule(name), options, model, updates);

/** Computed here, not by a rule. */
function mean(updates: readonly TestUpdate[], weightOf: (update: TestUpdate) => number): number[] {
  const total = updates.reduce((sum, update) => sum + weightOf(update), 0);
  return model.map((_, e) =>
    updates.reduce((sum, update) => sum + (weightOf(update) / total) * update.delta[e], 0),
  );
}

describe('special cases that are the mean by examples', () => {
  const expected = mean(cohort(1), ({ numExamples }) => numExamples!);

  it.each([
    ['fedavg', {}],
    ['power', { kappa: 1 }],
    ['fedprox', { mu: 0.5 }],
    ['fednova', {}],
    ['fednova', { rho: 0.9 }],
    ['term', {}],
    ['term', { t: 0 }],
    ['kl-dro', { tau: 1000 }],
    ['norm-bound', { C: 1000, weights: 'examples' }],
    ['trimmed-mean', { beta: 0, weights: 'examples' }],
  ])('%s %o, of clients that are alike but for their number of examples', async (name, options) => {
    const { delta } = await run(name, options);
    delta.forEach((value, e) => expect(value).toBeCloseTo(expected[e], 7));
  });
});

describe('special cases that are the plain mean', () => {
  const expected = mean(cohort(1), () => 1);

  it.each([
    ['uniform', {}],
    ['power', { kappa: 0 }],
    ['inverse-variance', {}],
    ['afl', {}],
    ['feasible', {}],
    ['fedbuff', {}],
    ['fedasync', { a: 1 }],
    ['norm-bound', { C: 1000 }],
    ['trimmed-mean', { beta: 0 }],
    ['multi-krum', { select: 11 }],
    ['soup-uniform', {}],
  ])('%s %o, of fresh updates in the first round', async (name, options) => {
    const { delta } = await run(name, options);
    delta.forEach((value, e) => expect(value).toBeCloseTo(expected[e], 9));
  });

  it('qfedavg: with losses alike, the mean over 1 + q L |D|^2 / F', async () => {
    const updates = cohort(1);
    const { delta } = await run('qfedavg', { q: 2 });
    const squares = updates.map((update) => update.delta.reduce((sum, x) => sum + x * x, 0));
    const meanSquare = squares.reduce((a, b) => a + b, 0) / updates.length;
    const shrunk = 1 + (2 * 10 * meanSquare) / 0.75;
    delta.forEach((value, e) => expect(value).toBeCloseTo(expected[e] / shrunk, 9));
  });
});

describe('server optimizers', () => {
  it('FedOpt with sgd and eta 1 is FedAvg, bit by bit', async () => {
    const fedavg = findRule('fedavg');
    const fedopt = compose(fedavg, findOptimizer('sgd'));
    const options = { rule: {}, optimizer: { eta: 1 }, after: [] };
    const plain = await aggregate(fedavg, cohort(1), context(model, {}));
    const composed = await aggregate(fedopt, cohort(1), context(model, options));
    expect(composed.delta).toEqual(plain.delta);
    expect(composed.model).toEqual(plain.model);
    expect(composed.weights).toEqual(plain.weights);
  });

  it('momentum with beta 0, and adam without memory or tau, are what they are without them', () => {
    const delta = Float64Array.of(0.5, -0.25, 2);
    const step = (name: string, options: object): number[] => {
      const optimizer = findOptimizer(name);
      return [...optimizer.apply(delta, emptyState, parseOptions(optimizer, options)).delta];
    };
    expect(step('momentum', { beta: 0 })).toEqual([0.5, -0.25, 2]);
    // The sign, times eta: D / |D|.
    step('adam', { beta1: 0, beta2: 0, tau: 1e-12, eta: 1 }).forEach((value, e) =>
      expect(value).toBeCloseTo(Math.sign(delta[e]), 9),
    );
  });

  it.each([0, 0.9])(
    'FedYogi(eta) is FedAdagrad(eta / sqrt(1 - b2)) while D^2 >= v, with b1 %d and v from 0',
    (beta1) => {
      const [eta, beta2, tau] = [0.01, 0.99, 1e-12];
      const yogi = findOptimizer('yogi');
      const adagrad = findOptimizer('adagrad');
      const ofYogi = parseOptions(yogi, { eta, beta1, beta2, tau });
      const ofAdagrad = parseOptions(adagrad, { eta: eta / Math.sqrt(1 - beta2), beta1, tau });
      let [left, right]: RuleState[] = [emptyState, emptyState];
      const random = randomStream(3, 'yogi');
      for (let round = 0; round < 40; round++) {
        // v stays under 40 * (1 - b2) < 1 * 1, the least D^2.
        const delta = Float64Array.from(
          { length: 6 },
          (_, e) => (e % 2 ? 1 : -1) + random.uniform() * 1e-3 * (e % 2 ? 1 : -1),
        );
        const a = yogi.apply(delta, left, ofYogi);
        const b = adagrad.apply(delta, right, ofAdagrad);
        [left, right] = [a.state, b.state];
        a.delta.forEach((value, e) => expect(value).toBeCloseTo(b.delta[e], 9));
      }
    },
  );
});
