/** A fixed memory: rows on lease, rows copied in, and what the kernels work on. */
import type { Rows } from '../../core/kernels/kernels.js';
import { TILE } from '../../core/layout.js';
import type { KernelExports } from './module.js';

/** Rows that one call of gram or rankMean takes; more go to the reference. */
export const ROWS_MAX = 4096;
/** Rows of one pass: their addresses and factors stand in tables. */
export const GROUP = 64;

const FLOAT_BYTES = 4;
const LINE_BYTES = 64;
const PAGE_BYTES = 65_536;
const MIB = 1_048_576;

/** Where things stand, one after the other; the first line stays free. */
const sizes = {
  state: LINE_BYTES,
  pointers: 4 * ROWS_MAX,
  factors: 8 * GROUP,
  taken: 4 * ROWS_MAX,
  counts: 4 * ROWS_MAX,
  /** Two tiles in 64 bits. */
  first: 8 * TILE,
  second: 8 * TILE,
  /** A network for ROWS_MAX rows: at most 28 steps of 36 bytes a row of eight. */
  steps: MIB,
  scratch: MIB,
  /** A stretch of ROWS_MAX rows in float64. */
  packed: 16 * MIB,
  matrix: 8 * MIB,
  copies: 8 * MIB,
  /** Rows on lease: 16 MiB is what readers of tiles ask for at most, and the ends of rows. */
  leases: 20 * MIB,
};

type Place = keyof typeof sizes;

export const capacity: Readonly<Record<Place, number>> = sizes;

export interface WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly at: Readonly<Record<Place, number>>;
  rows(count: number, length: number): Float32Array[];
  release(rows: Rows): void;
  /** Writes a table of rows from their `from`-th element on, and copies in those that lie outside. */
  readonly place: (rows: Rows, from: number, length: number) => void;
}

export interface KernelParts {
  readonly memory: WasmMemory;
  readonly exports: KernelExports;
}

/** Bytes from one row to the next: kernels read whole vectors, up to 12 bytes past a row's end. */
function pitch(length: number): number {
  return Math.ceil((length * FLOAT_BYTES + 12) / LINE_BYTES) * LINE_BYTES;
}

/** Elements of so many rows that can be copied in at once: a multiple of `unit`. */
export function copiedLength(count: number, unit: number): number {
  const each = Math.floor(capacity.copies / count) - LINE_BYTES - 12;
  return Math.min(TILE, Math.floor(each / FLOAT_BYTES / unit) * unit);
}

export function wasmMemory(): WasmMemory {
  const { at, end } = layOut();
  const pages = Math.ceil(end / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { buffer } = memory;
  const pointers = new Uint32Array(buffer, at.pointers, ROWS_MAX);
  return {
    memory,
    at,
    ...leases(buffer, at.leases),
    place(rows, from, length) {
      let copy = at.copies;
      rows.forEach((row, k) => {
        if (row.buffer === buffer) {
          pointers[k] = row.byteOffset + from * FLOAT_BYTES;
          return;
        }
        new Float32Array(buffer, copy, length).set(row.subarray(from, from + length));
        pointers[k] = copy;
        copy += pitch(length);
      });
    },
  };
}

function layOut(): { at: Record<Place, number>; end: number } {
  const at = { ...sizes };
  let end = LINE_BYTES;
  for (const place of Object.keys(sizes) as Place[]) {
    at[place] = end;
    end += Math.ceil(sizes[place] / LINE_BYTES) * LINE_BYTES;
  }
  return { at, end };
}

/**
 * Room is given from the bottom up, and all of it is free again when the last lease is back. Who
 * finds none gets arrays outside, which are copied in when they are used.
 */
function leases(buffer: ArrayBuffer, from: number): Pick<WasmMemory, 'rows' | 'release'> {
  const open = new Set<Float32Array>();
  let used = 0;
  return {
    rows(count, length) {
      const each = pitch(length);
      const isFree = count > 0 && length > 0 && used + count * each <= capacity.leases;
      if (!isFree) return Array.from({ length: count }, () => new Float32Array(length));
      const rows = Array.from(
        { length: count },
        (_, k) => new Float32Array(buffer, from + used + k * each, length),
      );
      used += count * each;
      open.add(rows[0]);
      return rows;
    },
    release([first]) {
      if (open.delete(first) && open.size === 0) used = 0;
    },
  };
}
