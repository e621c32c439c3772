/** What is measured: each kernel, and what it is held against. */
import { createWasmKernels } from '../server/adapters/wasm-kernels.js';
import type { RankWindow } from '../server/core/kernels/kernels.js';
import { TILE } from '../server/core/layout.js';
import * as plain from './plain.js';
import type { Resident } from './resident.js';

export interface Subject {
  readonly name: string;
  /** Work for one element of K rows, in units of reading it; decides how many are measured. */
  readonly cost: (K: number) => number;
  run(x: Resident, size: number): void;
  plain(x: Resident, size: number): unknown;
  /** Names in in_numpy.py. */
  readonly numpy: readonly string[];
}

const medianWindow = (K: number): RankWindow => ({
  from: Math.ceil(K / 2) - 1,
  to: Math.floor(K / 2) + 1,
});
const trimmedWindow = (K: number): RankWindow => ({
  from: Math.floor(0.2 * K),
  to: K - Math.floor(0.2 * K),
});

const kernels = createWasmKernels();

/** As updates come from files: 64 KiB of each, copied in while they are hot, then folded. */
function streamed({ rows }: Resident, size: number): void {
  const sum = new BigInt64Array(size);
  const weights = rows.map((_, k) => 1 + (k % 100));
  for (let start = 0; start < size; start += TILE) {
    const length = Math.min(TILE, size - start);
    for (let k = 0; k < rows.length; k += 32) {
      const batch = rows.slice(k, k + 32);
      const room = kernels.rows(batch.length, length);
      batch.forEach((row, i) => room[i].set(row.subarray(start, start + length)));
      kernels.fold(sum, start, room, weights.slice(k, k + 32), 30);
      kernels.release(room);
    }
  }
}

export const subjects: readonly Subject[] = [
  {
    name: 'fold',
    cost: () => 1,
    run: (x, size) => x.fold(size),
    plain: ({ rows }, size) => plain.fold(rows, size),
    numpy: ['aggregate', 'in-place'],
  },
  {
    name: 'fold, streamed',
    cost: () => 1,
    run: streamed,
    plain: ({ rows }, size) => plain.fold(rows, size),
    numpy: ['aggregate', 'in-place'],
  },
  {
    name: 'check',
    cost: () => 1,
    run: (x, size) => x.check(size),
    plain: ({ rows }, size) => plain.check(rows, size),
    numpy: ['check'],
  },
  {
    name: 'combine',
    cost: () => 1,
    run: (x, size) => x.combine(size),
    plain: ({ rows }, size) => plain.combine(rows, size),
    numpy: ['combine'],
  },
  {
    name: 'gram',
    cost: (K) => K / 4,
    run: (x, size) => x.gram(size),
    plain: ({ rows }, size) => plain.gram(rows, size),
    numpy: ['gram'],
  },
  {
    name: 'median',
    cost: () => 30,
    run: (x, size) => x.rankMean(size, medianWindow(x.rows.length)),
    plain: ({ rows }, size) => plain.rankMean(rows, size, medianWindow(rows.length)),
    numpy: ['median'],
  },
  {
    name: 'trimmed mean',
    cost: () => 30,
    run: (x, size) => x.rankMean(size, trimmedWindow(x.rows.length)),
    plain: ({ rows }, size) => plain.rankMean(rows, size, trimmedWindow(rows.length)),
    numpy: ['trimmed'],
  },
];
