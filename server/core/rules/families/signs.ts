/** How many coordinates of each vector are positive, zero and negative. */
import type { PassParts, Row } from './tile-reader.js';
import { eachSegment } from './tile-reader.js';

export type SignCounts = readonly [positive: number, zero: number, negative: number];

/** One pass over the rows. -0 is zero. */
export async function signCounts(
  rows: readonly Row[],
  parts: PassParts,
): Promise<readonly SignCounts[]> {
  const counts = rows.map(() => ({ positive: 0, negative: 0 }));
  let size = 0;
  await eachSegment(rows, parts, (tiles, { length }) => {
    size += length;
    tiles.forEach((tile, i) => count(tile, counts[i]));
  });
  return counts.map(({ positive, negative }) => [positive, size - positive - negative, negative]);
}

function count(tile: Float32Array, into: { positive: number; negative: number }): void {
  let [positive, negative] = [0, 0];
  for (const x of tile) {
    if (x > 0) positive += 1;
    else if (x < 0) negative += 1;
  }
  into.positive += positive;
  into.negative += negative;
}
