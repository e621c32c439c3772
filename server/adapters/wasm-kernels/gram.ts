/** Inner products of all pairs of rows, as many rows of the matrix at a time as there is room for. */
import type { Kernels, Rows } from '../../core/kernels/kernels.js';
import { STRETCH } from '../../core/kernels/kernels.js';
import type { KernelParts } from './memory.js';
import { ROWS_MAX, capacity, copiedLength } from './memory.js';

const BLOCK = 4;
const NUMBER_BYTES = 8;

/** @param beyond for more rows than the memory has room for */
export function gram(parts: KernelParts, beyond: Kernels): Kernels['gram'] {
  return (matrix, rows, precision) => {
    const K = rows.length;
    if (K > ROWS_MAX) {
      beyond.gram(matrix, rows, precision);
      return;
    }
    if (K === 0) return;
    addLower(matrix, padded(rows), K, precision === 'fast', parts);
    for (let i = 0; i < K; i++) {
      for (let j = 0; j < i; j++) matrix[j * K + i] = matrix[i * K + j];
    }
  };
}

/** The last row again, to whole blocks: what they give is left where it is. */
function padded(rows: Rows): Rows {
  const missing = (BLOCK - (rows.length % BLOCK)) % BLOCK;
  return [...rows, ...Array.from({ length: missing }, () => rows[rows.length - 1])];
}

function addLower(
  matrix: Float64Array,
  rows: Rows,
  K: number,
  isFast: boolean,
  { memory: { memory, at, place }, exports }: KernelParts,
): void {
  const width = rows.length;
  const length = rows[0].length;
  const longest = copiedLength(width, STRETCH);
  const lines = capacity.matrix / NUMBER_BYTES / width;
  const band = Math.min(width, Math.floor(lines / BLOCK) * BLOCK);
  const work = new Float64Array(memory.buffer, at.matrix, band * width);
  for (let start = 0; start < length; start += longest) {
    const n = Math.min(longest, length - start);
    place(rows, start, n);
    for (let from = 0; from < width; from += band) {
      const to = Math.min(width, from + band);
      eachLine(from, Math.min(to, K), (i) => {
        work.set(matrix.subarray(i * K, i * K + i + 1), (i - from) * width);
      });
      exports.gram(at.matrix, width, at.pointers, from, to, n, at.packed, Number(isFast));
      eachLine(from, Math.min(to, K), (i) => {
        const line = (i - from) * width;
        matrix.set(work.subarray(line, line + i + 1), i * K);
      });
    }
  }
}

function eachLine(from: number, to: number, visit: (i: number) => void): void {
  for (let i = from; i < to; i++) visit(i);
}
