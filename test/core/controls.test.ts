import { describe, expect, it } from 'vitest';
import { fedavg } from '../../server/core/rules/fedavg.js';
import { findRule, rules } from '../../server/core/rules/index.js';
import type { LossOracle } from '../../server/core/ports.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith } from './round.js';
import { bowls } from './support/bowls.js';

const updates: readonly TestUpdate[] = [
  { clientId: 'b', delta: [0.5, 0.25], numExamples: 1, role: 'target' },
  { clientId: 'a', delta: [-1, 2], numExamples: 3 },
];
const model = [1, 1];
const run = (rule: string, options: object, oracle: LossOracle | null): Promise<Aggregated> =>
  aggregateWith(findRule(rule), options, model, updates, { oracle });

describe('the controls', () => {
  it('are marked as such, and nothing else is', () => {
    const marked = [...rules.values()].filter(({ control }) => control).map(({ name }) => name);
    expect(marked).toEqual(['best-client', 'proxy-only', 'proxy-finetune', 'target-only']);
  });

  it('best-client takes the model that does best, of equals the first by id', async () => {
    // Models: a at (0, 3), b at (1.5, 1.25).
    const near = await run('best-client', {}, bowls([[0, 2]]));
    expect(near.weights).toEqual({ a: 1, b: 0 });
    expect(near.diagnostics).toMatchObject({ proxyLossBest: 0.5, best: 0 });
    expect((await run('best-client', {}, bowls([[2, 1]]))).weights).toEqual({ a: 0, b: 1 });
    const flat: LossOracle = {
      batches: 1,
      lossAndGrad: () => Promise.resolve({ loss: 1, grad: new Float32Array(2) }),
    };
    expect((await run('best-client', {}, flat)).weights).toEqual({ a: 1, b: 0 });
  });

  it('target-only takes the update of the target as it is', async () => {
    const after = await run('target-only', {}, null);
    expect([...after.model]).toEqual([1.5, 1.25]);
    expect(after.weights).toEqual({ a: 0, b: 1 });
    const sources = updates.map((u) => ({ ...u, role: 'source' as const }));
    await expect(aggregateWith(findRule('target-only'), {}, model, sources)).rejects.toMatchObject({
      code: 'rule_needs',
    });
  });

  it('proxy-only takes one step a batch and never looks at an update', async () => {
    // From (1, 1): half way to (3, 1) is (2, 1); half way from there to (0, -1) is (1, 0).
    const after = await run(
      'proxy-only',
      { epochs: 1, learningRate: 0.5 },
      bowls([
        [3, 1],
        [0, -1],
      ]),
    );
    expect([...after.model]).toEqual([1, 0]);
    expect(after.weights).toEqual({ a: 0, b: 0 });
    expect(after.diagnostics).toEqual({ proxyLossBefore: 2.25, proxyLossAfter: 1.75 });
  });

  it('proxy-finetune does the same from where FedAvg ends', async () => {
    // FedAvg: (1, 1) + (-3 + .5, 6 + .25) / 4 = (.375, 2.5625), then half way to (1, 0).
    const options = { epochs: 1, learningRate: 0.5 };
    const after = await run('proxy-finetune', options, bowls([[1, 0]]));
    expect([...after.model]).toEqual([0.6875, 1.28125]);
    expect(after.weights).toEqual({ a: 0.75, b: 0.25 });
  });

  it('proxy-finetune without epochs is FedAvg, bit for bit', async () => {
    const mean = await aggregateWith(fedavg, {}, model, updates);
    const after = await run('proxy-finetune', { epochs: 0 }, bowls([[1, 0]]));
    expect(after.delta).toEqual(mean.delta);
    expect(after.weights).toEqual(mean.weights);
  });

  it.each(['best-client', 'proxy-only', 'proxy-finetune'])(
    '%s says that it needs an oracle where there is none',
    async (rule) => {
      await expect(run(rule, {}, null)).rejects.toMatchObject({ code: 'rule_needs' });
    },
  );

  it('say so where the training on the proxy set diverges', async () => {
    const diverging: LossOracle = {
      batches: 1,
      lossAndGrad: (params) =>
        Promise.resolve({ loss: Math.exp(params[0] * 100), grad: Float32Array.of(-1e3, 0) }),
    };
    await expect(run('proxy-only', {}, diverging)).rejects.toMatchObject({
      code: 'not_finite',
      message: expect.stringContaining('"proxy-only"') as string,
    });
  });
});
