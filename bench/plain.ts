/** The same work as anybody would write it in JavaScript. */
import type { RankWindow } from '../server/core/kernels/kernels.js';

type Rows = readonly Float32Array[];

const weightOf = (k: number): number => 1 + (k % 100);

export function fold(rows: Rows, size: number): Float64Array {
  const sum = new Float64Array(size);
  rows.forEach((row, k) => {
    const weight = weightOf(k);
    for (let i = 0; i < size; i++) sum[i] += weight * row[i];
  });
  return sum;
}

export function check(rows: Rows, size: number): readonly number[] {
  return rows.map((row) => {
    let [squares, most] = [0, 0];
    for (let i = 0; i < size; i++) {
      squares += row[i] * row[i];
      most = Math.max(most, Math.abs(row[i]));
    }
    return Number.isFinite(squares) ? Math.sqrt(squares) + most : NaN;
  });
}

export function gram(rows: Rows, size: number): readonly (readonly number[])[] {
  return rows.map((a, i) => rows.slice(0, i + 1).map((b) => dot(a, b, size)));
}

function dot(a: Float32Array, b: Float32Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += a[i] * b[i];
  return sum;
}

/** Sorts every coordinate with the engine's own numeric sort. */
export function rankMean(rows: Rows, size: number, { from, to }: RankWindow): Float64Array {
  const means = new Float64Array(size);
  const column = new Float32Array(rows.length);
  for (let i = 0; i < size; i++) {
    rows.forEach((row, k) => (column[k] = row[i]));
    column.sort();
    let sum = 0;
    for (let rank = from; rank < to; rank++) sum += column[rank];
    means[i] = sum / (to - from);
  }
  return means;
}

export const combine = fold;
