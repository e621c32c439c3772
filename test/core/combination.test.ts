import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TILE } from '../../server/core/layout.js';
import { randomStream } from '../../server/core/random.js';
import type { Combination } from '../../server/core/rules/families/combination.js';
import { combinationRule } from '../../server/core/rules/families/combination.js';
import { segments, tileReader } from '../../server/core/rules/families/tile-reader.js';
import type { Workspace } from '../../server/core/rules/families/workspace.js';
import type { TestUpdate } from './round.js';
import { aggregate, context, layoutFor, reader } from './round.js';

const needs = { vectors: [{ name: 'batch', roles: ['source'], many: true }] } as const;
type X = Workspace<typeof needs>;

function rule(combine: (x: X) => Promise<Combination> | Combination) {
  return combinationRule({
    name: 'test',
    paper: 'none',
    options: z.strictObject({}),
    needs,
    combine,
  });
}

function cohort(count: number, size: number): TestUpdate[] {
  const random = randomStream(1, 'combination');
  const vector = (): number[] =>
    Array.from({ length: size }, () => Math.fround((random.uniform() - 0.5) * 2));
  return Array.from({ length: count }, (_, i) => ({
    clientId: `c${i}`,
    delta: vector(),
    aux: { 'batch.0': vector(), 'batch.1': vector() },
  }));
}

const dot = (a: readonly number[], b: readonly number[], from = 0, to = a.length): number =>
  a.slice(from, to).reduce((sum, x, e) => sum + x * b[from + e], 0);

describe('a combination rule', () => {
  it('moves the model by its coefficients: model * w + sum updates[i] * D_i', async () => {
    const updates = cohort(3, 5);
    const coefficients = { model: 0.5, updates: [2, -1, 0.25] };
    const w = [1, -2, 3, 0.5, -0];
    const after = await aggregate(
      rule(() => coefficients),
      updates,
      context(w, {}),
    );
    const expected = w.map(
      (value, e) =>
        0.5 * value +
        dot(
          [2, -1, 0.25],
          updates.map((u) => u.delta[e]),
        ),
    );
    after.model.forEach((value, e) => expect(value).toBeCloseTo(expected[e], 6));
    expect(after.weights).toEqual({ c0: 2, c1: -1, c2: 0.25 });
    expect(after.coefficients).toBe(coefficients);
  });

  it('takes one row a tensor, and reports their mean over parameters as the weight', async () => {
    const updates = cohort(2, 5);
    const layout = layoutFor(5, { a: 3, empty: 0, b: 2 });
    const coefficients = { model: [1, 1, 0], updates: [[1, 9, -2], 0.5] };
    const w = [1, 2, 3, 4, 5];
    const after = await aggregate(
      rule(() => coefficients),
      updates,
      context(w, {}, { layout }),
    );
    after.delta.forEach((value, e) => {
      const [onModel, onFirst] = e < 3 ? [0, 1] : [-1, -2];
      const expected = onModel * w[e] + onFirst * updates[0].delta[e] + 0.5 * updates[1].delta[e];
      expect(value).toBeCloseTo(expected, 14);
    });
    expect(after.weights.c0).toBeCloseTo((1 * 3 - 2 * 2) / 5, 14);
    expect(after.weights.c1).toBe(0.5);
  });

  it('sees updates in client-id order, whatever order they arrived in', async () => {
    const updates = cohort(12, 4);
    const seen: string[][] = [];
    const first = rule((x) => {
      seen.push(x.updates.map((u) => u.clientId));
      return { model: 1, updates: x.updates.map((_, i) => (i === 0 ? 1 : 0)) };
    });
    const ctx = context([0, 0, 0, 0], {});
    const one = await aggregate(first, updates, ctx);
    const other = await aggregate(first, [...updates].reverse(), ctx);
    expect(other).toEqual(one);
    expect(seen[0]).toEqual([
      'c0',
      'c1',
      'c10',
      'c11',
      'c2',
      'c3',
      'c4',
      'c5',
      'c6',
      'c7',
      'c8',
      'c9',
    ]);
    expect(seen[1]).toEqual(seen[0]);
  });

  it('asks inner products of deltas and auxiliary vectors, whole or tensor by tensor', async () => {
    expect.hasAssertions();
    const updates = cohort(3, 7);
    const layout = layoutFor(7, { a: 4, b: 3 });
    await aggregate(
      rule(async (x) => {
        expect(x.auxiliary(1)).toEqual(['batch.0', 'batch.1']);
        const [whole] = await x.gram('model');
        const parts = await x.gram('tensor', [{ update: 2 }, { update: 0, vector: 'batch.1' }]);
        const a = { update: 2 } as const;
        const b = { update: 0, vector: 'batch.1' } as const;
        const [D, B] = [updates[2].delta, updates[0].aux!['batch.1']];
        expect(whole.dot(a, b)).toBeCloseTo(dot(D, B), 14);
        expect(whole.dot(b, a)).toBe(whole.dot(a, b));
        expect(parts.map((part) => part.dot(a, b))).toEqual([
          expect.closeTo(dot(D, B, 0, 4), 14),
          expect.closeTo(dot(D, B, 4, 7), 14),
        ]);
        expect(() => parts[0].dot(a, { update: 1 })).toThrow(/"delta" of update 1/);
        return { model: 1, updates: [0, 0, 0] };
      }),
      updates,
      context(new Float32Array(7), {}, { layout }),
    );
  });

  it('lists a family by the numbers of its members, and nothing that was not declared', async () => {
    const names = ['other', 'batch.10', 'batch.2', 'batch.02', 'batch', 'batch.0', 'batch.1'];
    const aux = Object.fromEntries(names.map((name) => [name, [1]]));
    await aggregate(
      rule((x) => {
        expect(x.auxiliary(0)).toEqual(['batch.0', 'batch.1', 'batch.2', 'batch.10']);
        return { model: 1, updates: [0] };
      }),
      [{ clientId: 'a', delta: [1], aux }],
      context([0], {}),
    );
    expect.assertions(1);
  });

  it('asks <v, w>, <v, D_i>, and the model at other coefficients', async () => {
    const updates = cohort(2, 4);
    const w = [1, 2, -3, 0.5];
    const v = [0.5, -1, 2, 4];
    const after = await aggregate(
      rule(async (x) => {
        const dots = await x.dot(Float32Array.from(v));
        expect(dots.model).toBeCloseTo(dot(v, w), 14);
        expect(dots.updates).toEqual(
          updates.map((u) => expect.closeTo(dot(v, u.delta), 14) as number),
        );
        const same = await x.at({ model: 1, updates: [0, 0] });
        expect([...same]).toEqual(w);
        const at = await x.at({ model: 0.5, updates: [1, 2] });
        await expect(x.dot(new Float32Array(3))).rejects.toThrow(/3 and 4/);
        return {
          coefficients: { model: 0.5, updates: [1, 2] },
          diagnostics: { first: at[0] },
          matrices: { one: [[1]] },
          state: { tensors: {}, values: { round: 1 } },
        };
      }),
      updates,
      context(w, {}),
    );
    expect(after.diagnostics).toEqual({ first: after.model[0] });
    expect(after.matrices).toEqual({ one: [[1]] });
    expect(after.state.values).toEqual({ round: 1 });
  });

  it('goes over models that are longer than a tile', async () => {
    const size = 2 * TILE + 77;
    const updates = cohort(2, size);
    const layout = layoutFor(size, { a: TILE + 5, b: TILE + 72 });
    const after = await aggregate(
      rule(async (x) => {
        const [gram] = await x.gram('model', [{ update: 0 }, { update: 1 }]);
        expect(gram.dot({ update: 0 }, { update: 1 })).toBeCloseTo(
          dot(updates[0].delta, updates[1].delta),
          9,
        );
        return { model: 1, updates: [[1, 0], 0.5] };
      }),
      updates,
      context(new Float32Array(size), {}, { layout }),
    );
    for (const e of [0, TILE - 1, TILE, TILE + 4, TILE + 5, size - 1]) {
      const first = e < TILE + 5 ? updates[0].delta[e] : 0;
      expect(after.delta[e]).toBe(first + 0.5 * updates[1].delta[e]);
    }
  });

  it.each([
    [{ model: NaN, updates: [1, 1] }, 'not_finite', /"test" gave the model the coefficient NaN/],
    [{ model: 1, updates: [1, [Infinity]] }, 'not_finite', /"test" gave client "c1"/],
    [{ model: 1, updates: [1] }, 'internal', /1 coefficients for 2 updates/],
    [{ model: [1, 1], updates: [1, 1] }, 'internal', /2 coefficients for 1 tensors/],
  ])('is refused the coefficients %j', async (coefficients, code, message) => {
    const run = aggregate(
      rule(() => coefficients),
      cohort(2, 3),
      context([0, 0, 0], {}),
    );
    await expect(run).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('reading in tiles', () => {
  it('covers every element once, in order, inside one tensor each', () => {
    const layout = layoutFor(0, { a: 3, none: 0, b: 40_000, c: 1 });
    for (const rows of [1, 100, 1000, 100_000]) {
      let next = 0;
      for (const { tensor, start, length } of segments(layout, rows)) {
        const { start: from, length: all } = layout.tensors[tensor];
        expect(start).toBe(next);
        expect(start >= from && start + length <= from + all && length > 0).toBe(true);
        next += length;
      }
      expect(next).toBe(layout.size);
    }
  });

  it('keeps no more than the cache may hold, and reads the rest again', async () => {
    let reads = 0;
    const update = reader({ clientId: 'a', delta: Array.from({ length: 1000 }, (_, i) => i) });
    const counted = {
      ...update,
      read: (...args: Parameters<typeof update.read>) => {
        reads += 1;
        return update.read(...args);
      },
    };
    const read = tileReader([counted], 600);
    const row = { update: 0, vector: 'delta' };
    const parts = [0, 250, 500, 750].map((start) => ({ tensor: 0, start, length: 250 }));
    for (let pass = 0; pass < 3; pass++) {
      for (const part of parts) {
        const [tile] = await read([row], part);
        expect([tile[0], tile.length]).toEqual([part.start, 250]);
      }
    }
    expect(reads).toBe(4 + 2 + 2);
  });
});
