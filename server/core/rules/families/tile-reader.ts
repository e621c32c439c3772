/** The vectors of a round, read side by side in tiles: never K whole vectors at once. */
import type { Layout } from '../../layout.js';
import { TILE } from '../../layout.js';
import type { UpdateReader } from '../rule.js';
import { readExactly } from './vectors.js';

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
const TILE_MIN = 256;
/** Elements kept in memory between passes: 128 MiB. Iterating with an oracle reads all again. */
const CACHE_MAX = 1 << 25;

/** Cuts the flat vector at its tensors and into tiles, the smaller the more rows there are. */
export function segments(layout: Layout, rows: number): readonly Segment[] {
  const longest = Math.max(TILE_MIN, Math.min(TILE, Math.floor(ROWS_MAX / Math.max(1, rows))));
  const result: Segment[] = [];
  layout.tensors.forEach(({ start: from, length: all }, tensor) => {
    for (let done = 0; done < all; done += longest) {
      result.push({ tensor, start: from + done, length: Math.min(longest, all - done) });
    }
  });
  return result;
}

export type ReadRows = (rows: readonly Row[], segment: Segment) => Promise<Float32Array[]>;

/**
 * Keeps the tiles that it read first until the cache is full, and drops none: passes go round in
 * the same order, where a least-recently-used cache would never hit.
 */
export function tileReader(updates: readonly UpdateReader[], cacheMax = CACHE_MAX): ReadRows {
  const cache = new Map<string, Float32Array>();
  let room = cacheMax;
  const read = async (
    { update, vector }: Row,
    { start, length }: Segment,
  ): Promise<Float32Array> => {
    const key = `${update}/${vector}/${start}`;
    const known = cache.get(key);
    if (known?.length === length) return known;
    const tile = await readExactly(updates[update], vector, start, length);
    if (length <= room && !cache.has(key)) {
      cache.set(key, tile);
      room -= length;
    }
    return tile;
  };
  return (rows, segment) => Promise.all(rows.map((row) => read(row, segment)));
}
