/** All rows in one WASM memory, for the kernels as they are, without copying. */
import type { KernelExports } from '../server/adapters/wasm-kernels/module.js';
import { instantiate } from '../server/adapters/wasm-kernels/module.js';
import { STEP_WORDS, encodeSteps, rankNetwork } from '../server/adapters/wasm-kernels/network.js';
import { tileWidth } from '../server/adapters/wasm-kernels/rank-mean.js';
import type { RankWindow } from '../server/core/kernels/kernels.js';
import { STRETCH } from '../server/core/kernels/kernels.js';

const PAGE = 65_536;
const MIB = 1_048_576;
const LINE = 128;

/** Every method works on the first `size` elements of all rows. */
export interface Resident {
  readonly rows: readonly Float32Array[];
  /** Reads as many bytes as these elements are, and does nothing with them but add. */
  readSum(size: number): void;
  fold(size: number): void;
  check(size: number): void;
  gram(size: number): void;
  combine(size: number): void;
  rankMean(size: number, window: RankWindow): void;
}

/** Bytes of the memory that K rows of P floats need, with what the kernels work on. */
export function residentBytes(K: number, P: number): number {
  return layOut(K, P).end;
}

/** @param fill gives a row its contents */
export function resident(
  K: number,
  P: number,
  fill: (row: Float32Array, k: number) => void,
): Resident {
  const { at, end } = layOut(K, P);
  const pages = Math.ceil(end / PAGE);
  const { buffer, ...memory } = memoryOf(pages);
  const each = pitch(P);
  const rows = Array.from({ length: K }, (_, k) => new Float32Array(buffer, at.rows + k * each, P));
  rows.forEach(fill);
  // Blocks of four: the last row stands for those that are missing.
  const pointers = new Uint32Array(buffer, at.pointers, K + 3);
  pointers.forEach((_, k) => (pointers[k] = rows[Math.min(k, K - 1)].byteOffset));
  const factors = new Float64Array(buffer, at.factors, K);
  factors.forEach((_, k) => (factors[k] = (1 + (k % 100)) * 2 ** 30));
  return { rows, ...kernels(K, instantiate(memory.memory), at, rankTable(buffer, K, at)) };
}

function memoryOf(pages: number): { memory: WebAssembly.Memory; buffer: ArrayBuffer } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return { memory, buffer: memory.buffer };
}

function pitch(P: number): number {
  return Math.ceil((4 * P + 12) / LINE) * LINE;
}

type Places = ReturnType<typeof layOut>['at'];

function layOut(K: number, P: number) {
  let end = PAGE;
  const take = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / LINE + 1) * LINE;
    return at;
  };
  const at = {
    state: take(LINE),
    pointers: take(4 * K + 12),
    factors: take(8 * K),
    counts: take(4 * K),
    taken: take(4 * K),
    steps: take(MIB),
    packed: take(4 * STRETCH * (K + 3)),
    scratch: take(MIB),
    matrix: take(8 * (K + 3) * (K + 3)),
    sums: take(8 * P),
    rows: take(K * pitch(P)),
  };
  return { at, end };
}

/** Puts the network of a window into memory, once, and says how many steps it has. */
function rankTable(buffer: ArrayBuffer, K: number, at: Places): (window: RankWindow) => number {
  let key = '';
  let length = 0;
  return (window) => {
    if (key !== `${window.from} ${window.to}`) {
      const steps = rankNetwork(K, window);
      new Uint32Array(buffer, at.steps, STEP_WORDS * steps.length).set(encodeSteps(steps, K));
      key = `${window.from} ${window.to}`;
      length = steps.length;
    }
    return length;
  };
}

function kernels(
  K: number,
  x: KernelExports,
  at: Places,
  stepsFor: (window: RankWindow) => number,
): Omit<Resident, 'rows'> {
  const blocks = Math.ceil(K / 4) * 4;
  const width = tileWidth(K, MIB);
  return {
    readSum: (size) => x.readSum(at.rows, Math.floor((K * size) / 32) * 32),
    fold: (size) => x.fold(at.sums, size, at.pointers, at.factors, K),
    check: (size) => {
      for (let k = 0; k < K; k++) x.check(at.state, 0, at.rows + k * pitch(size), size);
    },
    gram: (size) => x.gram(at.matrix, blocks, at.pointers, 0, blocks, size, at.packed, 1),
    combine: (size) => x.combine(at.sums, size, at.pointers, at.factors, K),
    rankMean: (size, { from, to }) =>
      x.rankMean(
        ...([at.sums, size, at.pointers, K, from, to] as const),
        ...([at.steps, stepsFor({ from, to })] as const),
        ...([at.scratch, width, at.counts, at.taken] as const),
      ),
  };
}
