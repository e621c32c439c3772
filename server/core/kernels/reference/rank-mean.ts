/** Means of order statistics, one element after the other, by sorting it. */
import type { RankWindow, Rows } from '../kernels.js';
import { ranking } from '../ranking.js';

export function rankMean(
  out: Float64Array,
  offset: number,
  rows: Rows,
  { from, to }: RankWindow,
  taken: Float64Array,
): void {
  if (rows.length === 0) return;
  const rank = ranking(rows.map(() => 1));
  for (let e = 0; e < rows[0].length; e++) {
    const { values, clients } = rank(rows, e);
    let sum = 0;
    for (let at = from; at < to; at++) {
      sum += values[at];
      taken[clients[at]] += 1;
    }
    out[offset + e] = sum / (to - from);
  }
}
