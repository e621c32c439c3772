import { describe, expect, it } from 'vitest';
import { TILE } from '../../server/core/layout.js';
import { randomStream } from '../../server/core/random.js';
import { fisher } from '../../server/core/rules/fisher.js';
import type { Aggregated, TestUpdate } from './round.js';
import { aggregateWith, layoutFor } from './round.js';

const client = (
  clientId: string,
  delta: readonly number[],
  information: readonly number[],
  more: Partial<TestUpdate> = {},
): TestUpdate => ({ clientId, delta, aux: { fisher: information }, ...more });

function merge(updates: readonly TestUpdate[], options: object = {}): Promise<Aggregated> {
  return aggregateWith(fisher, options, [1, 2, 3, 4], updates);
}

// test/core/merging.test.ts has the cases that were computed apart.
describe('Fisher merging, by hand', () => {
  const a = client('a', [1, 1, 1, 1], [3, 0, 1, 0], { numExamples: 30 });
  const b = client('b', [-1, 3, 0, 5], [1, 2, 1, 0], { numExamples: 10 });

  it('takes of each parameter what each client knows of it, and the mean where nobody does', async () => {
    const { delta, weights, diagnostics } = await merge([a, b]);
    expect([...delta]).toEqual([0.5, 3, 0.5, 3]);
    expect(weights).toEqual({ a: (0.75 + 0 + 0.5 + 0.5) / 4, b: (0.25 + 1 + 0.5 + 0.5) / 4 });
    expect(diagnostics).toEqual({ plainShare: 0.25 });
  });

  it('counts the information of all examples under weights: examples', async () => {
    const { delta } = await merge([a, b], { weights: 'examples' });
    // 90 against 10, 0 against 20, 30 against 10, 30 against 10 by their examples alone.
    expect([...delta]).toEqual([0.8, 3, 0.75, 2]);
  });

  it('lets nobody count less than epsilon', async () => {
    const { delta, diagnostics } = await merge([a, b], { epsilon: 2 });
    // (3, 2), (2, 2), (2, 2), (2, 2)
    expect([...delta].map((x) => Number(x.toFixed(12)))).toEqual([0.2, 2, 0.5, 3]);
    expect(diagnostics.plainShare).toBe(0);
  });

  it.each([
    [[1, -0.5, 1, 1], 'bad_facts', /element 1 of "fisher of client c" is -0.5; no value/],
    [[1, 1, NaN, 1], 'bad_facts', /element 2 .* is NaN/],
  ])('refuses %j as information', async (information, code, message) => {
    await expect(merge([a, client('c', [0, 0, 0, 0], information)])).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  it('refuses an update without the vector, by its client', async () => {
    await expect(merge([a, { clientId: 'c', delta: [0, 0, 0, 0] }])).rejects.toMatchObject({
      code: 'missing_vector',
      message: expect.stringContaining('"c"') as string,
    });
  });

  it('takes any size of information: only ratios count', async () => {
    const { delta } = await merge([
      client('a', [1, 1, 1, 1], [3e30, 1e-40, 1, 1]),
      client('b', [0, 0, 0, 0], [1e30, 3e-40, 1, 1]),
    ]);
    expect(delta[0]).toBeCloseTo(0.75, 6);
    expect(delta[1]).toBeCloseTo(0.25, 4);
  });

  it('goes over models longer than a tile, tensor by tensor', async () => {
    const size = 2 * TILE + 5;
    const random = randomStream(3, 'fisher');
    const vector = (scale: number): number[] =>
      Array.from({ length: size }, () => Math.fround(scale * random.uniform()));
    const updates = ['a', 'b', 'c'].map((id) => client(id, vector(1), vector(100)));
    const layout = layoutFor(size, { one: TILE + 3, none: 0, two: TILE + 2 });
    const model = vector(1);
    const { delta, weights } = await aggregateWith(fisher, {}, model, updates, { layout });
    for (const e of [0, TILE - 1, TILE, TILE + 3, 2 * TILE, size - 1]) {
      const information = updates.map((u) => u.aux!.fisher[e]);
      const total = information.reduce((sum, f) => sum + f, 0);
      const expected = updates.reduce(
        (sum, u, i) => sum + (information[i] / total) * u.delta[e],
        0,
      );
      expect(delta[e]).toBeCloseTo(expected, 14);
    }
    expect(weights.a + weights.b + weights.c).toBeCloseTo(1, 12);
  });
});
