import { describe, expect, it } from 'vitest';
import cases from '../fixtures/rules/fedlaw.json' with { type: 'json' };
import { parametrisations } from '../../server/core/rules/fedlaw/mixture.js';
import { fedlaw } from '../../server/core/rules/fedlaw.js';
import { findRule, needsOf, parseOptions } from '../../server/core/rules/index.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, relativeError, softmaxRegression } from './round.js';

// spec/rules.md, golden values of FedLAW: from the authors' published code in float64.
const clients = [
  [2, -1, -2, 1, 0.5, -0.5],
  [-1, 2, 1, -2, 0, 0],
  [1, 1, -1, -1, -1, 1],
];
const examples = [5, 3, 2];
const proxy = {
  x: [
    [1, 0],
    [0, 1],
    [1, 1],
    [-1, 0.5],
  ],
  y: [0, 1, 0, 1],
};
const models = [
  [0, 0, 0, 0, 0, 0],
  [0.5, 0.25, -1, 0.75, 2, -0.125],
  [0.3, -0.1, 0.7, 0.9, -0.2, 0.6],
];

/** Updates that lead from a model to these clients' parameters. */
function updatesFrom(
  model: readonly number[],
  params: readonly (readonly number[])[],
  counts: readonly number[],
): TestUpdate[] {
  return params.map((client, i) => ({
    clientId: `client-${i}`,
    numExamples: counts[i],
    delta: client.map((value, e) => value - model[e]),
  }));
}

function golden(model: readonly number[], options: object): Promise<Aggregated> {
  return aggregateWith(fedlaw, options, model, updatesFrom(model, clients, examples), {
    oracle: softmaxRegression([proxy], 2),
  });
}

function lambdas({ weights, diagnostics }: Aggregated): number[] {
  return Object.values(weights).map((weight) => weight / diagnostics.gamma);
}

function expectClose(actual: readonly number[], expected: readonly number[], within = 1e-6): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => expect(relativeError(value, expected[i])).toBeLessThan(within));
}

describe.each(models)('FedLAW on the golden clients, from the model [%f, %f, …]', (...model) => {
  it('starts at FedAvg', async () => {
    const start = await golden(model, { epochs: 0 });
    expectClose([...start.model], [0.9, 0.3, -0.9, -0.3, 0.05, -0.05]);
    expectClose([start.diagnostics.proxyLossBefore], [0.3854699878]);
    expect(start.coefficients?.model).toBe(1);
    expectClose(start.coefficients?.updates as number[], [0.5, 0.3, 0.2], 1e-14);
  });

  it('has the golden gradient there', async () => {
    const oracle = softmaxRegression([proxy], 2);
    const { grad } = await oracle.lossAndGrad(
      Float32Array.from([0.9, 0.3, -0.9, -0.3, 0.05, -0.05]),
      0,
    );
    const dot = (v: readonly number[]): number => v.reduce((sum, x, e) => sum + x * grad[e], 0);
    const slopes = {
      model: dot(model),
      updates: clients.map((client) => dot(client) - dot(model)),
    };
    const { exp } = parametrisations;
    const at = exp.gradient(exp.start({ gamma: 1, lambda: [0.5, 0.3, 0.2] }), slopes);
    expectClose([...at], [-0.26143831, 0.28639341, -0.0249551, -0.06151567], 2e-7);
  });

  it('takes the golden first step of Adam', async () => {
    const after = await golden(model, { epochs: 1, learningRate: 0.01 });
    expectClose(
      [after.diagnostics.gamma, after.diagnostics.proxyLossAfter],
      [1.0100501654, 0.3791692805],
    );
    expectClose(lambdas(after), [0.5029879489, 0.2958168723, 0.2011951788]);
  });

  it('takes the golden first step of SGD', async () => {
    const after = await golden(model, { epochs: 1, learningRate: 0.01, serverOptimizer: 'sgd' });
    expectClose([after.diagnostics.gamma], [1.0006153459]);
    expectClose(lambdas(after), [0.5010579383, 0.2989922935, 0.1999497682]);
  });

  it('ends where the golden run ends after 20 epochs', async () => {
    const after = await golden(model, { learningRate: 0.01 });
    expectClose(
      [after.diagnostics.gamma, after.diagnostics.proxyLossAfter],
      [1.2187590323, 0.2812552754],
    );
    expectClose(lambdas(after), [0.5545601713, 0.2283704047, 0.217069424]);
  });
});

describe('FedLAW', () => {
  it('starts from the shares of the clients that were selected', async () => {
    // Sizes 10/30/60, clients 0 and 2.
    const updates = updatesFrom(models[1], [clients[0], clients[2]], [10, 60]);
    const start = await aggregateWith(fedlaw, { epochs: 0 }, models[1], updates, {
      oracle: softmaxRegression([proxy], 2),
    });
    expectClose(lambdas(start), [1 / 7, 6 / 7], 1e-14);
  });

  // test/fixtures/rules/make.py: absolute parameters, central differences in 50 digits.
  it.each(cases.map((c) => [JSON.stringify(c.options), c] as const))(
    'agrees with an independent computation: %s',
    async (_, { options, model, clients: params, examples: counts, batches, expected }) => {
      const oracle = softmaxRegression(batches, batches[0].outputs);
      const updates = updatesFrom(model, params, counts);
      const after = await aggregateWith(fedlaw, options, model, updates, { oracle });
      const { gamma, proxyLossBefore, proxyLossAfter, coherence, shrinkRatio } = after.diagnostics;
      expectClose([gamma, ...lambdas(after)], [expected.gamma, ...expected.lambda]);
      expectClose([proxyLossBefore, proxyLossAfter], [expected.lossBefore, expected.lossAfter]);
      expectClose([...after.model], expected.model, 3e-6);
      expectClose([coherence], [expected.coherence]);
      expectClose(after.matrices!.cosine.flat(), expected.cosine.flat());
      if (expected.shrinkRatio === undefined) expect(shrinkRatio).toBeUndefined();
      else expectClose([shrinkRatio], [expected.shrinkRatio], 2e-5);
    },
  );

  it.each(['exp', 'quad'] as const)('has the gradient of finite differences for %s', (kind) => {
    const parametrisation = parametrisations[kind];
    const point = Float64Array.from([0.7, -0.4, 1.3, 0.9]);
    const slopes = { model: -1.7, updates: [0.6, 2.5, -0.8] };
    // The loss that is linear in the mixed model has exactly these slopes everywhere.
    const loss = (at: Float64Array): number => {
      const { gamma, lambda } = parametrisation.mixture(at);
      return gamma * lambda.reduce((sum, l, i) => sum + l * (slopes.model + slopes.updates[i]), 0);
    };
    const h = 1e-6;
    const numeric = point.map((_, i) => {
      const shifted = (by: number): Float64Array => point.map((x, j) => (i === j ? x + by : x));
      return (loss(shifted(h)) - loss(shifted(-h))) / (2 * h);
    });
    parametrisation
      .gradient(point, slopes)
      .forEach((value, i) => expect(value).toBeCloseTo(numeric[i], 8));
  });

  it('records gamma * lambda as the weight given, and the coefficients before they are applied', async () => {
    const after = await golden(models[1], {});
    const { gamma } = after.diagnostics;
    expect(after.coefficients?.model).toBe(gamma);
    expect(Object.values(after.weights)).toEqual(after.coefficients?.updates);
    expect(lambdas(after).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 14);
  });

  it('goes through the batches in their order, epoch after epoch', async () => {
    const oracle = softmaxRegression([proxy, proxy, proxy], 2);
    const updates = updatesFrom(models[0], clients, examples);
    await aggregateWith(fedlaw, { epochs: 2 }, models[0], updates, { oracle });
    const epoch = [0, 1, 2];
    expect(oracle.asked).toEqual([...epoch, ...epoch, ...epoch, ...epoch]); // loss, 2 epochs, loss
  });

  it('gives the same bits for any order of arrival', async () => {
    const updates = updatesFrom(models[2], clients, examples);
    const run = (order: readonly TestUpdate[]): Promise<Aggregated> =>
      aggregateWith(fedlaw, {}, models[2], order, { oracle: softmaxRegression([proxy], 2) });
    const first = await run(updates);
    expect(await run([...updates].reverse())).toEqual(first);
  });

  it('never exceeds gammaMax, from the first question on', async () => {
    const after = await golden(models[1], { gammaMax: 0.8, learningRate: 0.05 });
    expect(after.diagnostics.gamma).toBe(0.8);
    const start = await golden(models[1], { gammaMax: 0.8, epochs: 0 });
    expect(start.diagnostics.gamma).toBe(0.8);
  });

  it.each(['exp', 'quad'])(
    'leaves gammaMax as soon as the proxy set asks for less: %s',
    async (kind) => {
      // The first nine batches pull gamma up, far over the cap if it were not held; the tenth down.
      const oracle = {
        batches: 10,
        lossAndGrad: (params: Float32Array, batch: number) => {
          const grad = params.map((x) => (batch < 9 ? -x : x));
          return Promise.resolve({ loss: 1, grad });
        },
      };
      const options = {
        parametrisation: kind,
        serverOptimizer: 'sgd',
        learningRate: 0.01,
        epochs: 1,
      };
      const updates = [{ clientId: 'a', delta: [0, 0] }];
      const after = await aggregateWith(fedlaw, { ...options, gammaMax: 1.125 }, [3, 4], updates, {
        oracle,
      });
      // At the cap, <G, w_new> is gamma^2 * 25 = 31.640625, so dL/dg is that for exp; for quad, with
      // gamma = g^2, dL/dg = 2 g <G, w> = 2 sqrt(1.125) * 28.125.
      const exp = 1.125 * Math.exp(-0.01 * 31.640625);
      const quad = (Math.sqrt(1.125) - 0.01 * 2 * Math.sqrt(1.125) * 28.125) ** 2;
      expect(after.diagnostics.gamma).toBeCloseTo(kind === 'exp' ? exp : quad, 7);
    },
  );

  it('keeps what is not to be learned', async () => {
    const onlyLambda = await golden(models[1], { learn: 'lambda', gamma: 0.75 });
    expect(onlyLambda.diagnostics.gamma).toBeCloseTo(0.75, 15);
    const onlyGamma = await golden(models[1], { learn: 'gamma' });
    expectClose(lambdas(onlyGamma), [0.5, 0.3, 0.2], 1e-14);
    expect(onlyGamma.diagnostics.gamma).not.toBe(1);
  });

  it('does without an oracle where nothing is learned, and is refused without one otherwise', async () => {
    const rule = findRule('fedlaw');
    expect(needsOf(rule, parseOptions(rule, { learn: 'none' }))).toEqual({});
    expect(needsOf(rule, parseOptions(rule, {}))).toEqual({ oracle: true });
    const updates = updatesFrom(models[1], clients, examples);
    const fixed = await aggregateWith(rule, { learn: 'none', gamma: 0.5 }, models[1], updates);
    expectClose([...fixed.model], [0.45, 0.15, -0.45, -0.15, 0.025, -0.025]);
    await expect(aggregateWith(rule, {}, models[1], updates)).rejects.toMatchObject({
      code: 'rule_needs',
    });
    const empty = { batches: 0, lossAndGrad: () => Promise.reject(new Error('asked')) };
    await expect(
      aggregateWith(rule, {}, models[1], updates, { oracle: empty }),
    ).rejects.toMatchObject({ code: 'rule_needs' });
  });

  it.each([
    ['loss', { loss: NaN, grad: new Float32Array(6) }],
    ['gradient', { loss: 1, grad: new Float32Array(6).fill(NaN) }],
  ])('stops where the oracle gives a %s that is not finite', async (_, answer) => {
    const oracle = { batches: 1, lossAndGrad: () => Promise.resolve(answer) };
    const updates = updatesFrom(models[1], clients, examples);
    await expect(aggregateWith(fedlaw, {}, models[1], updates, { oracle })).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringContaining('"fedlaw"') as string,
    });
  });

  it('remembers the first round in which the updates disagree', async () => {
    const opposed = [
      { clientId: 'a', delta: [1, 0] },
      { clientId: 'b', delta: [-1, 0.5] },
    ];
    const agreeing = [
      { clientId: 'a', delta: [1, 0] },
      { clientId: 'b', delta: [1, 0.5] },
    ];
    const run = (round: number, updates: TestUpdate[], state: RuleState): Promise<Aggregated> =>
      aggregateWith(fedlaw, { learn: 'none' }, [1, 1], updates, { round, state });
    const first = await run(1, agreeing, { tensors: {}, values: {} });
    expect(first.diagnostics.criticalPoint).toBeUndefined();
    const second = await run(2, opposed, first.state);
    expect(second.diagnostics.criticalPoint).toBe(2);
    const third = await run(3, opposed, second.state);
    expect(third.diagnostics.criticalPoint).toBe(2);
    expect((await run(4, agreeing, third.state)).diagnostics.criticalPoint).toBe(2);
  });

  it('has analytics for a single client and for clients that did not move', async () => {
    const alone = await aggregateWith(
      fedlaw,
      { learn: 'none' },
      [1, 2],
      [{ clientId: 'a', delta: [0, 0] }],
    );
    expect(alone.matrices).toEqual({ cosine: [[0]] });
    expect(alone.diagnostics).toEqual({ gamma: 1 });
    expect([...alone.model]).toEqual([1, 2]);
  });
});
