/** Means of order statistics, for as many elements at a time as all rows have room for. */
import type { Kernels, RankWindow } from '../../core/kernels/kernels.js';
import { TILE } from '../../core/layout.js';
import type { KernelParts } from './memory.js';
import { ROWS_MAX, capacity, copiedLength } from './memory.js';
import { encodeSteps, rankNetwork } from './network.js';

const VECTOR_BYTES = 16;
/** Vectors of four elements in a tile, at most. */
const WIDTH = 16;

/** Vectors of a tile that all rows, and one of infinities, have room for: a multiple of four. */
export function tileWidth(count: number, bytes: number): number {
  const most = Math.min(WIDTH, bytes / (count + 1) / VECTOR_BYTES);
  return Math.max(4, Math.floor(most / 4) * 4);
}

/** @param beyond for more rows than the memory has room for */
export function rankMean(parts: KernelParts, beyond: Kernels): Kernels['rankMean'] {
  const { memory, exports } = parts;
  const { at, place } = memory;
  const means = new Float64Array(memory.memory.buffer, at.first, TILE);
  const networkFor = networks(parts);
  return (out, offset, rows, window, taken) => {
    const K = rows.length;
    if (K > ROWS_MAX) {
      beyond.rankMean(out, offset, rows, window, taken);
      return;
    }
    if (K === 0) return;
    const steps = networkFor(K, window);
    const counts = new Uint32Array(memory.memory.buffer, at.taken, K).fill(0);
    const width = tileWidth(K, capacity.scratch);
    const longest = copiedLength(K, 4);
    for (let from = 0; from < rows[0].length; from += longest) {
      const n = Math.min(longest, rows[0].length - from);
      place(rows, from, n);
      exports.rankMean(
        ...([at.first, n, at.pointers, K, window.from, window.to] as const),
        ...([at.steps, steps, at.scratch, width, at.counts, at.taken] as const),
      );
      out.set(means.subarray(0, n), offset + from);
    }
    counts.forEach((count, k) => (taken[k] += count));
  };
}

/** Leaves the network in the memory; the last one is kept, since a round asks for it tile by tile. */
function networks({ memory }: KernelParts): (count: number, window: RankWindow) => number {
  let last = '';
  let length = 0;
  return (count, window) => {
    const key = `${count} ${window.from} ${window.to}`;
    if (key !== last) {
      const steps = rankNetwork(count, window);
      const words = encodeSteps(steps, count);
      new Uint32Array(memory.memory.buffer, memory.at.steps, words.length).set(words);
      last = key;
      length = steps.length;
    }
    return length;
  };
}
