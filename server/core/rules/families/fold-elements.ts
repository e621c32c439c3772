/** Updates folded from where they lie: the same tile of many of them while its sums are in the cache. */
import { TILE, tiles } from '../../layout.js';
import type { RuleContext, WeightedUpdate } from '../rule.js';
import { allSettled, readInto } from './vectors.js';

/** Updates that are folded together: their tiles fit into 2 MiB. */
export const BATCH = 32;

/** Elements of a flat vector, `to` not among them. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

type FoldContext = Pick<RuleContext<unknown>, 'fold' | 'kernels'>;

/** Adds this stretch of a vector of every update, times its weight, to `terms`. */
export async function foldElements(
  terms: BigInt64Array,
  vector: string,
  updates: readonly WeightedUpdate[],
  stretch: Stretch,
  ctx: FoldContext,
): Promise<void> {
  for (let k = 0; k < updates.length; k += BATCH) {
    await foldBatch(terms, vector, updates.slice(k, k + BATCH), stretch, ctx);
  }
}

async function foldBatch(
  terms: BigInt64Array,
  vector: string,
  updates: readonly WeightedUpdate[],
  { from, to }: Stretch,
  { fold, kernels }: FoldContext,
): Promise<void> {
  const weights = updates.map(({ weight }) => weight);
  const room = kernels.rows(updates.length, Math.min(TILE, to - from));
  try {
    for (const { start, length } of tiles(to, from)) {
      const rows = room.map((row) => row.subarray(0, length));
      await allSettled(updates.map(({ update }, k) => readInto(update, vector, start, rows[k])));
      kernels.fold(terms, start, rows, weights, fold.termBits);
    }
  } finally {
    kernels.release(room);
  }
}
