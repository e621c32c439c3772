/** Rules that weigh by the lengths and angles of the updates alone, by hand. */
import { describe, expect, it } from 'vitest';
import { fromZero } from './support/from-zero.js';
import { update } from './support/updates.js';

describe('FedMGDA, by hand', () => {
  it('takes the middle of two directions, whatever their lengths', async () => {
    // u = (1, 0) and (0, 1): the shortest point between them is (1/2, 1/2).
    const after = await fromZero('fedmgda', {}, [update('a', [8, 0]), update('b', [0, 0.5])]);
    expect([...after.delta]).toEqual([0.5, 0.5]);
    expect(after.weights).toEqual({ a: 0.0625, b: 1 });
    expect(after.diagnostics.minNorm).toBeCloseTo(Math.SQRT1_2, 15);
  });

  it('takes the middle of two that nearly agree, too', async () => {
    // (.6, .8) and (.8, .6)
    const after = await fromZero('fedmgda', {}, [update('a', [3, 4]), update('b', [4, 3])]);
    expect([...after.delta]).toEqual([0.7, 0.7].map((x) => expect.closeTo(x, 14) as number));
  });

  it('does not move where two clients want the opposite', async () => {
    const after = await fromZero('fedmgda', {}, [update('a', [2, 0]), update('b', [-1, 0])]);
    expect([...after.delta]).toEqual([0, 0]);
    expect(after.diagnostics).toMatchObject({ minNorm: 0, 'lambda.a': 0.5, 'lambda.b': 0.5 });
  });

  it('stays near the shares under a small epsilon', async () => {
    const updates = [
      update('a', [2, 0], { numExamples: 3 }),
      update('b', [-1, 0], { numExamples: 1 }),
    ];
    const after = await fromZero('fedmgda', { epsilon: 0.1 }, updates);
    expect(after.diagnostics['lambda.a']).toBeCloseTo(0.65, 14);
    expect(after.delta[0]).toBeCloseTo(0.3, 14);
  });

  it('leaves a client out that did not move, and the model where none did', async () => {
    const after = await fromZero('fedmgda', {}, [update('a', [2, 0]), update('b', [0, 0])]);
    expect([...after.delta]).toEqual([1, 0]);
    expect(after.diagnostics.left).toBe(1);
    const still = await fromZero('fedmgda', {}, [update('a', [0, 0]), update('b', [0, 0])]);
    expect([...still.delta]).toEqual([0, 0]);
    expect(still.weights).toEqual({ a: 0, b: 0 });
  });

  it('copes with a hundred clients in ten dimensions', async () => {
    const updates = Array.from({ length: 100 }, (_, i) =>
      update(
        `c${i}`,
        Array.from({ length: 10 }, (_, e) =>
          Math.fround(Math.sin(7 * i + 3 * e) + (e === 0 ? 3 : 0)),
        ),
      ),
    );
    const { delta } = await fromZero('fedmgda', {}, updates);
    const length = Math.hypot(...delta);
    // Optimality on the hull: every direction goes at least as far along the shortest vector.
    for (const { delta: d } of updates) {
      const along = d.reduce((sum, x, e) => sum + x * delta[e], 0) / Math.hypot(...d);
      expect(along).toBeGreaterThan(length * length - 1e-9);
    }
  });
});

describe('model stock, by hand', () => {
  it.each([
    [
      'equal updates',
      [
        [1, 2],
        [1, 2],
      ],
      1,
    ],
    [
      'updates at right angles',
      [
        [1, 0],
        [0, 1],
      ],
      0,
    ],
    [
      'two at 60 degrees: 2c / (1 + c)',
      [
        [1, 0],
        [0.5, Math.sqrt(0.75)],
      ],
      2 / 3,
    ],
    ['a single one', [[1, 2]], 1],
    [
      'opposed ones',
      [
        [1, 0],
        [-1, 0],
      ],
      0,
    ],
  ])('goes back from the mean for %s', async (_, deltas, expected) => {
    const after = await fromZero(
      'model-stock',
      {},
      deltas.map((delta, i) => update(`c${i}`, delta)),
    );
    expect(after.diagnostics.ratio).toBeCloseTo(expected, 7);
    const mean = (e: number): number => deltas.reduce((s, d) => s + d[e], 0) / deltas.length;
    after.delta.forEach((value, e) => expect(value).toBeCloseTo(expected * mean(e), 7));
  });
});
