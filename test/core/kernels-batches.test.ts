import { describe, expect, it } from 'vitest';
import {
  emptyContribution,
  foldScale,
  foldTile,
  weightTerm,
} from '../../server/core/kernels/fold.js';
import type { Kernels, Rows } from '../../server/core/kernels/kernels.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import type { LinearSum } from '../../server/core/rules/families/linear-sum.js';
import { mergeSums } from '../../server/core/rules/families/linear-sum.js';
import { eachSegment, segments, tileReader } from '../../server/core/rules/families/tile-reader.js';
import { fedavg } from '../../server/core/rules/fedavg.js';
import type { UpdateReader } from '../../server/core/rules/rule.js';
import type { TestUpdate } from './round.js';
import { context, layoutFor, reader } from './round.js';

const scale = foldScale({ cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 });

function cohort(count: number, size: number): TestUpdate[] {
  const random = randomStream(2, 'batches');
  return Array.from({ length: count }, (_, i) => ({
    clientId: `c${String(i).padStart(3, '0')}`,
    numExamples: 1 + random.below(5000),
    delta: Array.from({ length: size }, () => Math.fround((random.uniform() - 0.5) * 4)),
  }));
}

/** Kernels that write down what they are asked. */
function watched(): { kernels: Kernels; folded: number[]; leased: Set<Float32Array> } {
  const folded: number[] = [];
  const leased = new Set<Float32Array>();
  const kernels: Kernels = {
    ...referenceKernels,
    rows(count, length) {
      const rows = referenceKernels.rows(count, length);
      rows.forEach((row) => leased.add(row));
      return rows;
    },
    release: (rows: Rows) => rows.forEach((row) => leased.delete(row)),
    fold(sum, offset, rows, weights, bits) {
      folded.push(rows.length);
      referenceKernels.fold(sum, offset, rows, weights, bits);
    },
  };
  return { kernels, folded, leased };
}

describe('updates that are folded together', () => {
  const SIZE = 20_000;
  const updates = cohort(70, SIZE);
  const ctx = { ...context(new Float32Array(SIZE), {}), fold: scale };

  async function sumOf(
    some: readonly TestUpdate[],
    kernels = referenceKernels,
  ): Promise<LinearSum> {
    const sum = fedavg.begin(ctx);
    for (const update of some) await fedavg.accumulate(sum, reader(update), { ...ctx, kernels });
    return sum;
  }

  it('give the same bits as one after the other, in batches of 32', async () => {
    const expected = emptyContribution(SIZE);
    for (const { delta, numExamples = 0 } of updates) {
      foldTile(expected, 0, Float32Array.from(delta), numExamples, scale, referenceKernels);
      expected.weight += weightTerm(numExamples, scale);
      expected.count += 1;
    }
    const { kernels, folded, leased } = watched();
    const sum = await sumOf(updates, kernels);
    await fedavg.finish(sum, { ...ctx, kernels });
    expect(sum.sum).toEqual(expected);
    expect(folded).toEqual([32, 32, 32, 32, 6, 6]);
    expect(leased.size).toBe(0);
  });

  it('in any order, split anywhere and merged while some still wait', async () => {
    const whole = await fedavg.finish(await sumOf(updates), ctx);
    for (const cut of [0, 5, 32, 33, 64, 70]) {
      const order = shuffled(updates, randomStream(cut, 'order'));
      const left = await sumOf(order.slice(0, cut));
      mergeSums(left, await sumOf(order.slice(cut)), referenceKernels);
      const { delta, weights } = await fedavg.finish(left, ctx);
      expect(delta).toEqual(whole.delta);
      expect(weights).toEqual(whole.weights);
    }
  });

  it('are read straight into the room of the kernels where the reader can', async () => {
    const asked: number[] = [];
    const direct = (update: TestUpdate): UpdateReader => ({
      ...reader(update),
      read: () => Promise.reject(new Error('this takes a way round')),
      readInto: (_, start, out) => {
        asked.push(out.length);
        out.set(update.delta.slice(start, start + out.length));
        return Promise.resolve();
      },
    });
    const sum = fedavg.begin(ctx);
    for (const update of updates.slice(0, 3)) await fedavg.accumulate(sum, direct(update), ctx);
    const { delta } = await fedavg.finish(sum, ctx);
    const expected = await fedavg.finish(await sumOf(updates.slice(0, 3)), ctx);
    expect(delta).toEqual(expected.delta);
    expect(asked).toEqual([16_384, 16_384, 16_384, 3616, 3616, 3616]);
  });

  it('give their room back only when no read is under way any more', async () => {
    const { kernels, leased } = watched();
    let finishLate = (): void => undefined;
    const late = new Promise<void>((resolve) => (finishLate = resolve));
    const [a, b] = updates;
    const failing = { ...reader(a), readInto: () => Promise.reject(new Error('gone')) };
    const slow = { ...reader(b), readInto: () => late };
    const sum = fedavg.begin(ctx);
    for (const update of [failing, slow]) await fedavg.accumulate(sum, update, { ...ctx, kernels });
    const finished = fedavg.finish(sum, { ...ctx, kernels });
    finished.catch(() => undefined);
    await Promise.resolve();
    expect(leased.size).toBe(2);
    finishLate();
    await expect(finished).rejects.toThrow('gone');
    expect(leased.size).toBe(0);
  });
});

describe('a pass over the rows of a round', () => {
  it('reads into one room what is not kept, whatever the number of segments', async () => {
    const layout = layoutFor(0, { a: 20_000, b: 5, c: 17_000 });
    const updates = cohort(3, layout.size).map(reader);
    const parts = segments(layout, 3);
    const { kernels, leased } = watched();
    const pass = { read: tileReader(updates, 0), segments: parts, kernels };
    const rows = updates.map((_, update) => ({ update, vector: 'delta' }));
    const seen = new Set<ArrayBufferLike>();
    let checkedElements = 0;
    await eachSegment(rows, pass, (tiles, { start, length }) => {
      tiles.forEach((tile, k) => {
        seen.add(tile.buffer);
        expect(tile.length).toBe(length);
        expect(tile[0]).toBe(Math.fround(cohort(3, layout.size)[k].delta[start]));
        checkedElements += length;
      });
    });
    expect(checkedElements).toBe(3 * layout.size);
    expect(seen.size).toBe(3);
    expect(leased.size).toBe(0);
  });
});
