import { describe, expect, it } from 'vitest';
import fixture from '../fixtures/rules/drift.json' with { type: 'json' };
import { randomStream, shuffled } from '../../server/core/random.js';
import { feddyn } from '../../server/core/rules/feddyn.js';
import type { AnyRule, RuleState } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { scaffold } from '../../server/core/rules/scaffold.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith } from './round.js';

interface FixtureRound {
  readonly params: Readonly<Record<string, readonly number[] | undefined>>;
  readonly changes?: Readonly<Record<string, readonly number[] | undefined>>;
  readonly model: readonly number[];
}

/** What the clients of a round of the fixture send, given the model that they started from. */
function updatesOf(
  { params, changes }: FixtureRound,
  before: readonly number[] | Float32Array,
): TestUpdate[] {
  return Object.entries(params).map(([clientId, trained]) => ({
    clientId,
    delta: trained!.map((w, i) => w - before[i]),
    ...(changes && { aux: { control: changes[clientId]! } }),
  }));
}

/** Plays the rounds of the fixture; the clients' half is the fixture's. */
async function play(
  rule: AnyRule,
  options: object,
  rounds: readonly FixtureRound[],
): Promise<Aggregated[]> {
  let state: RuleState = emptyState;
  let model: readonly number[] = fixture.start;
  const outcomes: Aggregated[] = [];
  for (const round of rounds) {
    const more = { state, numClients: Object.keys(fixture.clients).length };
    const after = await aggregateWith(rule, options, model, updatesOf(round, model), more);
    outcomes.push(after);
    [state, model] = [after.state, round.model];
  }
  return outcomes;
}

function expectClose(actual: Iterable<number>, expected: readonly number[]): void {
  const values = [...actual];
  expect(values).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(values[i]).toBeCloseTo(value, 6));
}

const two: TestUpdate[] = [
  {
    clientId: 'b',
    numExamples: 10,
    delta: [0.25, 0],
    aux: { control: [-2, 0.25] },
  },
  {
    clientId: 'a',
    numExamples: 30,
    delta: [0.5, -1],
    aux: { control: [1, 0.5] },
  },
];

describe('scaffold', () => {
  it('takes the plain mean, and moves c by the sum of the changes over all N clients', async () => {
    const first = await aggregateWith(scaffold, {}, [1, 2], two, { numClients: 4 });
    expect([...first.model]).toEqual([1.375, 1.5]);
    expect(first.weights).toEqual({ a: 0.5, b: 0.5 });
    expect([...first.state.tensors.control]).toEqual([-0.25, 0.1875]);
    const more = { numClients: 4, state: first.state };
    const second = await aggregateWith(scaffold, {}, [1, 2], [two[1]], more);
    expect([...second.state.tensors.control]).toEqual([0, 0.3125]);
    expect([...first.state.tensors.control]).toEqual([-0.25, 0.1875]);
  });

  it('weighs updates and control variates by examples alike where it is asked to', async () => {
    const options = { weights: 'examples' };
    const after = await aggregateWith(scaffold, options, [1, 2], two, { numClients: 4 });
    expect([...after.model]).toEqual([1.4375, 1.25]);
    expect(after.weights).toEqual({ a: 0.75, b: 0.25 });
    // 2 of 4 clients, and (10 b + 30 a) / 40 of their changes.
    expect([...after.state.tensors.control]).toEqual([0.125, 0.21875]);
  });

  it('is the algorithm of the paper, round by round, one client missing', async () => {
    const rounds: readonly (FixtureRound & { control: number[] })[] = fixture.scaffold.rounds;
    const outcomes = await play(scaffold, {}, rounds);
    rounds.forEach(({ model, control }, i) => {
      expectClose(outcomes[i].model, model);
      expectClose(outcomes[i].state.tensors.control, control);
    });
  });

  it('gives the same bits for any order of arrival', async () => {
    const random = randomStream(5, 'scaffold');
    const draw = (): number[] => Array.from({ length: 9 }, () => 4 * random.uniform() - 2);
    const model = draw();
    const updates = Array.from({ length: 7 }, (_, i) => ({
      clientId: `client-${i}`,
      delta: draw(),
      aux: { control: draw() },
    }));
    const first = await aggregateWith(scaffold, {}, model, updates);
    for (let seed = 0; seed < 5; seed++) {
      const order = shuffled(updates, randomStream(seed, 'order'));
      expect(await aggregateWith(scaffold, {}, model, order)).toEqual(first);
    }
  });

  it('sends c down once there is one, and asks clients for their half', async () => {
    expect(scaffold.broadcast?.(emptyState)).toEqual({});
    const { state } = await aggregateWith(scaffold, {}, [1, 2], two, { numClients: 4 });
    expect(scaffold.broadcast?.(state)).toEqual({ control: Float64Array.of(-0.25, 0.1875) });
    expect(scaffold.training?.({ weights: 'uniform' })).toEqual({ controlVariates: true });
  });
});

describe('feddyn', () => {
  it('adds the mean of the updates and takes h / alpha off', async () => {
    const options = { alpha: 0.5 };
    const first = await aggregateWith(feddyn, options, [1, 2], two, { numClients: 4 });
    // h = -.5 * [.75, -1] / 4; model = [1, 2] + [.375, -.5] - h / .5
    expect([...first.state.tensors.h]).toEqual([-0.09375, 0.125]);
    expect([...first.model]).toEqual([1.5625, 1.25]);
    const more = { numClients: 4, state: first.state };
    const second = await aggregateWith(feddyn, options, [1, 2], [two[1]], more);
    // h = [-.09375, .125] - .5 * [.5, -1] / 4; model = [1, 2] + [.5, -1] - h / .5
    expect([...second.state.tensors.h]).toEqual([-0.15625, 0.25]);
    expect([...second.model]).toEqual([1.8125, 0.5]);
  });

  it('says what every update counts for in all, its part of h included', async () => {
    const { weights } = await aggregateWith(feddyn, {}, [1, 2], two, { numClients: 4 });
    expect(weights).toEqual({ a: 0.75, b: 0.75 });
  });

  it('is the algorithm of the paper, round by round, one client missing', async () => {
    const { alpha } = fixture.feddyn;
    const rounds: readonly (FixtureRound & { h: number[] })[] = fixture.feddyn.rounds;
    const outcomes = await play(feddyn, { alpha }, rounds);
    rounds.forEach(({ model, h }, i) => {
      expectClose(outcomes[i].model, model);
      expectClose(outcomes[i].state.tensors.h, h);
    });
  });

  it('asks clients for their half, as strong as its own', () => {
    expect(feddyn.training?.({ alpha: 0.02 })).toEqual({ dynamicAlpha: 0.02 });
  });
});
