import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../server/adapters/wasm-kernels/network.js';
import {
  STEP_WORDS,
  encodeSteps,
  rankNetwork,
} from '../../server/adapters/wasm-kernels/network.js';

/** Comparisons of a step, as pairs of places in its rows: the lesser value goes to the first. */
const layers = {
  merge4: [[2], [1]],
  merge8: [[4], [2], [1]],
  flip4: ['mirror', [1]],
  flip8: ['mirror', [2], [1]],
} as const;

function carriedOut(steps: readonly Step[], values: readonly number[]): number[] {
  const at = [...values];
  const get = (row: number): number => at[row] ?? Infinity;
  const order = (a: number, b: number): void => {
    const [low, high] = [Math.min(get(a), get(b)), Math.max(get(a), get(b))];
    if (a < values.length) at[a] = low;
    if (b < values.length) at[b] = high;
  };
  for (const { kind, rows, only } of steps) {
    const before = rows.map(get);
    if (kind === 'sort8') {
      const sorted = rows.map(get).sort((a, b) => a - b);
      rows.forEach((row, i) => row < values.length && (at[row] = sorted[i]));
      continue;
    }
    for (const layer of layers[kind]) {
      const pairs = rows.flatMap((row, i) => {
        const partner = layer === 'mirror' ? rows.length - 1 - i : i ^ layer[0];
        return partner > i ? [[row, rows[partner]] as const] : [];
      });
      pairs.forEach(([a, b]) => order(a, b));
    }
    // Nothing may ask for the others afterwards: let what asks find nonsense.
    if (only === undefined) continue;
    rows.forEach((row, i) => {
      if (i !== only && row < values.length) at[row] = before[i] * 1000 + 7;
    });
  }
  return at;
}

describe('a network for ranks', () => {
  it('brings every window of ranks to its place, for any number of rows', () => {
    const values = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 300 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(values, share, share, (x, a, b) => {
        const from = Math.min(x.length - 1, Math.floor(a * x.length));
        const to = Math.min(x.length, from + 1 + Math.floor(b * x.length));
        const after = carriedOut(rankNetwork(x.length, { from, to }), x);
        const sorted = [...x].sort((p, q) => p - q);
        expect(after.slice(from, to)).toEqual(sorted.slice(from, to));
      }),
      { numRuns: 400, seed: 1 },
    );
  });

  it('sorts all zeros and ones, hence everything, for up to 16 rows', () => {
    for (const count of [1, 2, 7, 8, 9, 12, 16]) {
      const steps = rankNetwork(count, { from: 0, to: count });
      for (let bits = 0; bits < 1 << count; bits++) {
        const x = Array.from({ length: count }, (_, i) => (bits >> i) & 1);
        const ones = x.reduce((sum, bit) => sum + bit, 0);
        const sorted = x.map((_, i) => (i < count - ones ? 0 : 1));
        if (carriedOut(steps, x).join() !== sorted.join()) expect.fail(`${x.join()} of ${count}`);
      }
    }
  });

  it('does less where fewer ranks are asked for', () => {
    const all = rankNetwork(100, { from: 0, to: 100 }).length;
    expect(rankNetwork(100, { from: 49, to: 51 }).length).toBeLessThan(0.9 * all);
  });

  it('is written with the second run of a flip backwards, and infinities for rows that are not there', () => {
    const steps: Step[] = [
      { kind: 'flip4', rows: [0, 1, 2, 9] },
      { kind: 'merge8', rows: [0, 1, 2, 3, 4, 5, 6, 7] },
      { kind: 'flip4', rows: [2, 3, 4, 5], only: 1 },
      { kind: 'merge4', rows: [2, 3, 4, 5], only: 3 },
    ];
    expect([...encodeSteps(steps, 5)]).toEqual([
      ...[4, 0, 1, 5, 2, 0, 0, 0, 0],
      ...[1, 0, 1, 2, 3, 4, 5, 5, 5],
      ...[6, 2, 5, 3, 4, 3, 0, 0, 0],
      ...[8, 2, 4, 3, 5, 5, 0, 0, 0],
    ]);
    expect(encodeSteps(steps, 5).length).toBe(4 * STEP_WORDS);
  });
});
