import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { foldScale } from '../../server/core/kernels/fold.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { shuffled, randomStream } from '../../server/core/random.js';
import { mergeSums } from '../../server/core/rules/families/linear-sum.js';
import { linearRule } from '../../server/core/rules/families/linear.js';
import { fedavg } from '../../server/core/rules/fedavg.js';
import { findRule } from '../../server/core/rules/index.js';
import type { UpdateFacts } from '../../server/core/rules/rule.js';
import { uniform } from '../../server/core/rules/uniform.js';
import type { TestUpdate } from './round.js';
import { aggregate, context, layoutFor, reader } from './round.js';

function cohort(seed: number, count: number, size: number): TestUpdate[] {
  const random = randomStream(seed, 'linear');
  return Array.from({ length: count }, (_, i) => ({
    clientId: `client-${String(i).padStart(2, '0')}`,
    numExamples: 1 + random.below(900),
    delta: Array.from({ length: size }, () => Math.fround((random.uniform() - 0.5) * 3)),
  }));
}

const model = (size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.fround(i / 7 - 1));

describe('fedavg', () => {
  it('is the example-weighted mean, rounded once', async () => {
    const updates: TestUpdate[] = [
      { clientId: 'b', numExamples: 30, delta: [0.25, -1, 3] },
      { clientId: 'a', numExamples: 10, delta: [1, 0.5, 0] },
    ];
    const after = await aggregate(fedavg, updates, context([1, 2, -0], {}));
    expect([...after.delta]).toEqual([0.4375, -0.625, 2.25]);
    expect([...after.model]).toEqual([1.4375, 1.375, 2.25]);
    expect(after.weights).toEqual({ a: 0.25, b: 0.75 });
  });

  it('is fround(w + (Number(sum) / Number(weights)) * 2^k), bit by bit', async () => {
    const updates = cohort(1, 9, 40);
    const ctx = context(model(40), {});
    const after = await aggregate(fedavg, updates, ctx);
    const weight = updates.reduce((sum, u) => sum + BigInt(u.numExamples!), 0n) << 33n;
    const expected = Array.from(ctx.model, (w, e) => {
      // All products here are whole at 2^30: float32 below 2 has no bit under 2^-24 * 2^-2.
      const sum = updates.reduce(
        (total, u) => total + BigInt(Math.round(u.numExamples! * u.delta[e] * 2 ** 30)),
        0n,
      );
      return Math.fround(w + (Number(sum) / Number(weight)) * 2 ** 3);
    });
    expect([...after.model]).toEqual(expected);
  });

  it('gives the same bits for any order, and for partial sums that are merged', async () => {
    const updates = cohort(2, 12, 30);
    const ctx = context(model(30), {});
    const first = await aggregate(fedavg, updates, ctx);
    for (let seed = 0; seed < 8; seed++) {
      const order = shuffled(updates, randomStream(seed, 'arrival'));
      expect(await aggregate(fedavg, order, ctx)).toEqual(first);
      const halves = [order.slice(0, seed + 2), order.slice(seed + 2)].map(async (part) => {
        const acc = fedavg.begin(ctx);
        for (const update of part) await fedavg.accumulate(acc, reader(update), ctx);
        return acc;
      });
      const [left, right] = await Promise.all(halves);
      mergeSums(left, right, referenceKernels);
      const merged = await fedavg.finish(left, ctx);
      expect(merged).toEqual({ ...first, model: undefined });
    }
  });

  it('gives the same bits when all counts are multiplied by a power of two', async () => {
    const delta = fc.array(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), {
      minLength: 3,
      maxLength: 3,
    });
    const updates = fc.array(fc.tuple(fc.integer({ min: 1, max: 4096 }), delta), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(updates, fc.integer({ min: 1, max: 5 }), async (cohortOf, power) => {
        const scaled = (factor: number): TestUpdate[] =>
          cohortOf.map(([n, d], i) => ({
            clientId: `c${i}`,
            numExamples: n * factor,
            delta: d.map((x) => x * 2 ** -22),
          }));
        const ctx = context(model(3), {});
        const one = await aggregate(fedavg, scaled(1), ctx);
        const many = await aggregate(fedavg, scaled(2 ** power), ctx);
        expect(many.delta).toEqual(one.delta);
        expect(many.weights).toEqual(one.weights);
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it('folds a model that is longer than a tile', async () => {
    const size = 40_000;
    const updates = cohort(5, 3, size);
    const after = await aggregate(fedavg, updates, context(model(size), {}));
    const total = updates.reduce((sum, u) => sum + u.numExamples!, 0);
    for (const e of [0, 16_383, 16_384, 32_768, size - 1]) {
      const mean = updates.reduce((sum, u) => sum + u.numExamples! * u.delta[e], 0) / total;
      expect(after.delta[e]).toBeCloseTo(mean, 8);
    }
  });
});

describe('uniform', () => {
  it('counts every client the same, whatever it says', async () => {
    const updates: TestUpdate[] = [
      { clientId: 'a', numExamples: 1, delta: [3] },
      { clientId: 'b', numExamples: 1000, delta: [0] },
      { clientId: 'c', numExamples: 7, delta: [1.5] },
    ];
    const after = await aggregate(uniform, updates, context([0], {}));
    expect([...after.delta]).toEqual([1.5]);
    expect(after.weights).toEqual({ a: 1 / 3, b: 1 / 3, c: 1 / 3 });
  });
});

const none = z.strictObject({});
const base = { name: 'test', paper: 'none', options: none, weightMax: () => 100 };

describe('a linear rule', () => {
  it('keeps the model where all weights are zero', async () => {
    const rule = linearRule({ ...base, weigh: () => 0 });
    const ctx = context([-0, 1], {});
    const after = await aggregate(rule, cohort(1, 3, 2), ctx);
    expect(after.model).toEqual(ctx.model);
    expect(Object.is(after.model[0], -0)).toBe(true);
    expect(Object.values(after.weights)).toEqual([0, 0, 0]);
  });

  it.each([-1, NaN, Infinity])('refuses the weight %f, naming rule and client', async (weight) => {
    const rule = linearRule({ ...base, weigh: () => weight });
    await expect(aggregate(rule, cohort(1, 1, 1), context([0], {}))).rejects.toMatchObject({
      code: 'bad_facts',
      message: expect.stringMatching(/"test".*"client-00"/) as string,
    });
  });

  it('refuses what would overflow the fold: weights, values and cohorts over their caps', async () => {
    const rule = linearRule({ ...base, weigh: ({ numExamples }: UpdateFacts) => numExamples });
    const fold = foldScale({ cohortMax: 2, weightMax: 10, deltaMax: 1 });
    const ctx = context([0], {}, { fold });
    const run = (...updates: TestUpdate[]): Promise<unknown> => aggregate(rule, updates, ctx);
    const refused = { code: 'over_cap' };
    await expect(run({ clientId: 'a', numExamples: 11, delta: [0] })).rejects.toMatchObject(
      refused,
    );
    await expect(run({ clientId: 'a', delta: [1.5] })).rejects.toMatchObject(refused);
    const update = (clientId: string): TestUpdate => ({ clientId, numExamples: 10, delta: [-1] });
    await expect(run(update('a'), update('b'), update('c'))).rejects.toMatchObject(refused);
    await expect(run(update('a'), update('b'))).resolves.toMatchObject({
      weights: { a: 0.5, b: 0.5 },
    });
  });

  it('multiplies the plain sum by a scale of its own, and says so in the weights', async () => {
    // FedNova: tau_eff * sum p_i D_i / tau_i with tau_eff = sum p_i tau_i.
    const rule = linearRule({
      ...base,
      weigh: ({ numExamples: n, numSteps }: UpdateFacts) => ({
        weight: n / numSteps,
        scalars: { n, steps: n * numSteps },
      }),
      scale: ({ scalars }) => scalars.steps / scalars.n / scalars.n,
    });
    const updates: TestUpdate[] = [
      { clientId: 'a', numExamples: 30, numSteps: 2, delta: [1] },
      { clientId: 'b', numExamples: 10, numSteps: 8, delta: [-4] },
    ];
    const after = await aggregate(rule, updates, context([0], {}));
    // p = 3/4, 1/4; tau_eff = 1.5 + 2 = 3.5; 3.5 * (0.75 / 2 - 4 * 0.25 / 8) = 0.875
    expect(after.delta[0]).toBeCloseTo(0.875, 12);
    expect(after.weights.a).toBeCloseTo(3.5 * 0.375, 12);
    expect(after.weights.b).toBeCloseTo(3.5 * 0.03125, 12);
  });

  it('refuses a scale that is not finite', async () => {
    const rule = linearRule({ ...base, weigh: () => 1, scale: () => NaN });
    await expect(aggregate(rule, cohort(1, 2, 1), context([0], {}))).rejects.toMatchObject({
      code: 'not_finite',
    });
  });

  it('hands the exact sums of auxiliary vectors to the next state', async () => {
    // SCAFFOLD: c += sum dc_i / N.
    const rule = linearRule({
      ...base,
      needs: { vectors: [{ name: 'control', roles: ['source'], many: false }] },
      weigh: () => ({ weight: 1, aux: { control: -0.5 } }),
      advance: (state, facts, aux, { numClients }) => ({
        tensors: { c: aux.control!.map((x) => x / numClients) },
        values: { ...state.values, seen: facts.map((f) => f.clientId) },
      }),
      broadcast: ({ tensors }) => tensors,
    });
    const updates: TestUpdate[] = [
      { clientId: 'z', delta: [2, 2], aux: { control: [1, 2] } },
      { clientId: 'a', delta: [0, 4], aux: { control: [3, -4] } },
    ];
    const state = { tensors: {}, values: { kept: true } };
    const after = await aggregate(rule, updates, context([0, 0], {}, { state, numClients: 4 }));
    expect([...after.delta]).toEqual([1, 3]);
    expect(after.state.values).toEqual({ kept: true, seen: ['a', 'z'] });
    expect([...after.state.tensors.c]).toEqual([-0.5, 0.25]);
    expect(rule.broadcast?.(after.state)).toBe(after.state.tensors);
  });

  it('weighs an update at admission as it will in the round', () => {
    const facts = reader({ clientId: 'a', numExamples: 7, delta: [0] });
    const state = { tensors: {}, values: {} };
    expect(findRule('fedavg').weightOf?.(facts, {}, state)).toBe(7);
    expect(findRule('uniform').weightOf?.(facts, {}, state)).toBe(1);
  });

  it('refuses a client that is there twice, and a tile that is too short', async () => {
    const twice: TestUpdate[] = [
      { clientId: 'a', delta: [1] },
      { clientId: 'a', delta: [1] },
    ];
    await expect(aggregate(fedavg, twice, context([0], {}))).rejects.toThrow(
      /two updates of client "a"/,
    );
    const short = context([0, 0], {}, { layout: layoutFor(2) });
    await expect(aggregate(fedavg, [{ clientId: 'a', delta: [1] }], short)).rejects.toThrow(
      /1 of 2/,
    );
  });

  it('refuses a round without updates', async () => {
    await expect(aggregate(fedavg, [], context([0], {}))).rejects.toMatchObject({
      code: 'rule_needs',
    });
  });
});
