/** The vectors of a round, read side by side in tiles: never K whole vectors at once. */
import type { Kernels, Rows } from '../../kernels/kernels.js';
import { STRETCH } from '../../kernels/kernels.js';
import type { Layout } from '../../layout.js';
import { TILE } from '../../layout.js';
import type { UpdateReader } from '../rule.js';
import { allSettled, readExactly, readInto } from './vectors.js';

/** A stretch of the flat vector that lies inside one tensor. */
export interface Segment {
  /** Its place in the layout. */
  readonly tensor: number;
  readonly start: number;
  readonly length: number;
}

/** One vector of one update, which is named by its place in client-id order. */
export interface Row {
  readonly update: number;
  readonly vector: string;
}

/** Elements that all rows of a segment may have together: 16 MiB. */
const ROWS_MAX = 1 << 22;
/** Elements kept in memory between passes: 128 MiB. Iterating with an oracle reads all again. */
const CACHE_MAX = 1 << 25;

/**
 * Cuts the flat vector at its tensors and into tiles, the smaller the more rows there are. Whole
 * stretches: an inner product then has the same bits for any number of rows.
 */
export function segments(layout: Layout, rows: number): readonly Segment[] {
  const stretches = Math.floor(ROWS_MAX / Math.max(1, rows) / STRETCH);
  const longest = Math.max(STRETCH, Math.min(TILE, stretches * STRETCH));
  const result: Segment[] = [];
  layout.tensors.forEach(({ start: from, length: all }, tensor) => {
    for (let done = 0; done < all; done += longest) {
      result.push({ tensor, start: from + done, length: Math.min(longest, all - done) });
    }
  });
  return result;
}

/** What is not kept may be read into `room`, and is then valid until the next tile is. */
export type ReadRows = (
  rows: readonly Row[],
  segment: Segment,
  room?: Rows,
) => Promise<Float32Array[]>;

/**
 * Keeps the tiles that it read first until the cache is full, and drops none: passes go round in
 * the same order, where a least-recently-used cache would never hit.
 */
export function tileReader(updates: readonly UpdateReader[], cacheMax = CACHE_MAX): ReadRows {
  const cache = new Map<string, Float32Array>();
  let left = cacheMax;
  const read = async (
    { update, vector }: Row,
    { start, length }: Segment,
    room: Float32Array | undefined,
  ): Promise<Float32Array> => {
    const key = `${update}/${vector}/${start}`;
    const known = cache.get(key);
    if (known?.length === length) return known;
    if (length > left && room) {
      return readInto(updates[update], vector, start, room.subarray(0, length));
    }
    const tile = await readExactly(updates[update], vector, start, length);
    if (length <= left && !cache.has(key)) {
      cache.set(key, tile);
      left -= length;
    }
    return tile;
  };
  return (rows, segment, room) => allSettled(rows.map((row, i) => read(row, segment, room?.[i])));
}

export interface PassParts {
  readonly read: ReadRows;
  readonly segments: readonly Segment[];
  readonly kernels: Kernels;
}

/** Goes once over these rows. The tiles are overwritten by those of the next segment. */
export async function eachSegment(
  rows: readonly Row[],
  { read, segments, kernels }: PassParts,
  use: (tiles: Rows, segment: Segment) => void,
): Promise<void> {
  const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
  const room = kernels.rows(rows.length, longest);
  try {
    for (const segment of segments) use(await read(rows, segment, room), segment);
  } finally {
    kernels.release(room);
  }
}
