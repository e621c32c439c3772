/**
 * Every linear rule: the order of arrival and the way that updates are divided over accumulators
 * leave no trace in a single bit.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldScale } from '../../server/core/kernels/fold.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import type { LinearSum } from '../../server/core/rules/families/linear-sum.js';
import { mergeSums } from '../../server/core/rules/families/linear-sum.js';
import { needsOf, parseOptions, rules } from '../../server/core/rules/index.js';
import type { AggregationRule, Outcome, RuleContext } from '../../server/core/rules/rule.js';
import type { TestUpdate } from './round.js';
import { context, reader } from './round.js';

type LinearRule = AggregationRule<unknown, LinearSum>;

const linear = [...rules.values()].filter(({ family }) => family === 'linear') as LinearRule[];

const EXAMPLES_MAX = 131_072;
const TINIEST = 2 ** -149;

/** float32 up to the cap: denormals, both zeros, and the cap itself far more often than chance. */
function value(deltaMax: number): fc.Arbitrary<number> {
  const plain = fc.float({ min: -deltaMax, max: deltaMax, noNaN: true });
  const small = fc.integer({ min: -1000, max: 1000 }).map((x) => x * TINIEST);
  return fc.oneof(plain, small, fc.constantFrom(0, -0, deltaMax, -deltaMax));
}

const facts = fc.record({
  numExamples: fc.oneof(fc.integer({ min: 1, max: EXAMPLES_MAX }), fc.constant(EXAMPLES_MAX)),
  numSteps: fc.integer({ min: 1, max: 10_000 }),
  staleness: fc.nat(20),
  metrics: fc.record({
    lossBefore: fc.oneof(fc.double({ min: 0, max: 20, noNaN: true }), fc.constantFrom(0, 1e300)),
    learningRate: fc.double({ min: 1e-6, max: 10, noNaN: true }),
    variance: fc.oneof(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), fc.constant(1e-300)),
  }),
});

/** A cohort, the caps of its run, and how it arrives: in which order, and where it is cut in two. */
const rounds = fc
  .record({
    size: fc.integer({ min: 1, max: 12 }),
    deltaMax: fc.constantFrom(2 ** -20, 1, 8, 2 ** 20),
    spare: fc.nat(3),
  })
  .chain(({ size, deltaMax, spare }) => {
    const vector = fc.array(value(deltaMax), { minLength: size, maxLength: size });
    const update = fc.record({
      facts,
      delta: vector,
      aux: vector,
      rank: fc.nat(),
      first: fc.boolean(),
    });
    return fc.record({
      size: fc.constant(size),
      deltaMax: fc.constant(deltaMax),
      spare: fc.constant(spare),
      updates: fc.array(update, { minLength: 1, maxLength: 40 }),
    });
  });
type Round = typeof rounds extends fc.Arbitrary<infer R> ? R : never;

/** Updates in client-id order, with whatever vectors the rule asks for. */
function cohort(rule: LinearRule, { updates }: Round): TestUpdate[] {
  const { vectors = [] } = needsOf(rule, parseOptions(rule, {}));
  return updates.map((update, i) => ({
    clientId: `client-${String(i).padStart(2, '0')}`,
    ...update.facts,
    delta: update.delta,
    aux: Object.fromEntries(vectors.map(({ name }) => [name, update.aux])),
  }));
}

async function folded(
  rule: LinearRule,
  updates: readonly TestUpdate[],
  ctx: RuleContext<unknown>,
): Promise<LinearSum> {
  const sum = rule.begin(ctx);
  for (const update of updates) await rule.accumulate(sum, reader(update), ctx);
  return sum;
}

async function inOrder(
  rule: LinearRule,
  updates: readonly TestUpdate[],
  ctx: RuleContext<unknown>,
): Promise<Outcome> {
  return rule.finish(await folded(rule, updates, ctx), ctx);
}

/** The same, as they arrive, at two replicas that add up what they have. */
async function asTheyArrive(
  rule: LinearRule,
  updates: readonly TestUpdate[],
  ctx: RuleContext<unknown>,
  round: Round,
): Promise<Outcome> {
  const order = updates
    .map((update, i) => ({ update, ...round.updates[i] }))
    .sort((a, b) => a.rank - b.rank);
  const [left, right] = await Promise.all(
    [true, false].map((at) =>
      folded(
        rule,
        order.filter(({ first }) => first === at).map(({ update }) => update),
        ctx,
      ),
    ),
  );
  mergeSums(left, right, referenceKernels);
  return rule.finish(left, ctx);
}

const bits = (vector: Float64Array): BigUint64Array =>
  new BigUint64Array(vector.buffer, vector.byteOffset, vector.length);

function expectSameBits(actual: Outcome, expected: Outcome): void {
  expect(bits(actual.delta)).toEqual(bits(expected.delta));
  expect(actual.weights).toEqual(expected.weights);
  expect(actual.diagnostics).toEqual(expected.diagnostics);
  expect(JSON.stringify(actual.state.values)).toBe(JSON.stringify(expected.state.values));
  expect(Object.keys(actual.state.tensors)).toEqual(Object.keys(expected.state.tensors));
  for (const [name, tensor] of Object.entries(expected.state.tensors)) {
    expect(bits(actual.state.tensors[name])).toEqual(bits(tensor));
  }
}

/** Every one with its defaults, and some under options that stretch them. */
const variants: { name: string; rule: LinearRule; given: object }[] = [
  ...linear.map((rule) => ({ name: rule.name, rule, given: {} })),
  ...[
    ['power', { kappa: 2 }] as const,
    ['qfedavg', { q: 5 }] as const,
    ['term', { t: -20 }] as const,
    ['norm-bound', { C: 0.01, weights: 'examples' }] as const,
  ].map(([name, given]) => ({ name, rule: linear.find((rule) => rule.name === name)!, given })),
];

describe.each(variants)('$name $given', ({ rule, given }) => {
  const options = parseOptions(rule, given);
  const contextOf = ({ size, deltaMax, spare, updates }: Round): RuleContext<unknown> => {
    const cohortMax = updates.length + spare;
    const fold = foldScale({ cohortMax, weightMax: rule.weightMax!(options), deltaMax });
    return context(Array<number>(size).fill(1), options, { fold });
  };

  it('gives the same bits for any order and any division, from the first state and the next', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async (round) => {
        const updates = cohort(rule, round);
        const first = contextOf(round);
        const expected = await inOrder(rule, updates, first);
        expectSameBits(await asTheyArrive(rule, updates, first, round), expected);

        const next = { ...first, round: 2, state: expected.state };
        const after = await inOrder(rule, updates, next);
        expectSameBits(await asTheyArrive(rule, updates, next, round), after);
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  it('weighs nobody above the weight that fixed the scale', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async (round) => {
        const updates = cohort(rule, round).map(reader);
        const ctx = contextOf(round);
        const { state } = await inOrder(rule, cohort(rule, round), ctx);
        for (const update of updates) {
          for (const known of [ctx.state, state]) {
            const weight = rule.weightOf!(update, options, known);
            expect(weight).toBeGreaterThanOrEqual(0);
            expect(weight).toBeLessThanOrEqual(ctx.fold.weightMax);
          }
        }
      }),
      { seed: 6, numRuns: 40 },
    );
  });

  it('holds with every place of the cohort taken by an update at the caps', async () => {
    const [size, deltaMax, K] = [3, 8, 64];
    const top = { numExamples: EXAMPLES_MAX, numSteps: 1, staleness: 0 };
    const metrics = { lossBefore: 1, learningRate: 0.1, variance: 1 };
    const updates = Array.from({ length: K }, () => ({
      ...{ facts: { ...top, metrics }, rank: 0, first: true },
      ...{ delta: [deltaMax, -deltaMax, 0], aux: [deltaMax, -deltaMax, 0] },
    }));
    const round = { size, deltaMax, spare: 0, updates };
    const { delta, weights } = await inOrder(rule, cohort(rule, round), contextOf(round));
    const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    // An overflow would turn the sign round.
    if (rule.name !== 'feddyn') expect(delta[0]).toBeCloseTo(total * deltaMax, 6);
    expect(delta[0]).toBeGreaterThanOrEqual(0);
    expect(delta[0] + delta[1]).toBe(0);
    expect(Object.is(delta[2], 0)).toBe(true);
  });
});
