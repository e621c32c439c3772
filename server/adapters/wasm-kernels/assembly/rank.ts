/**
 * Means of order statistics (core/kernels/reference/rank-mean.ts) by a sorting network: the same
 * comparisons for any values, so that four coordinates go through it side by side. A tile is a
 * number of vectors of four coordinates; its values stand in `scratch`, row after row.
 */
import { runSteps } from './network';
import { addressOf } from './table';

/** Floats of all rows together that are read ahead: runs of 16 KiB for a hundred rows. */
const HOT: i32 = 409600;

/**
 * For `length` coordinates of `count` rows, the mean of the ranks `from` to, and without, `to`, and
 * added to `taken` (u32) how often each row was among them. Reads and writes whole vectors of four:
 * rows and `out` have room behind their ends.
 * @param steps of the network; where there are fewer rows than it has places, the row `count` is
 * named, which holds infinities
 * @param scratch room for `width` vectors, a multiple of four, a row, and one row more
 * @param counts room for a u32 a row
 */
export function rankMean(
  out: usize,
  length: i32,
  rows: usize,
  count: i32,
  from: i32,
  to: i32,
  steps: usize,
  stepCount: i32,
  scratch: usize,
  width: i32,
  counts: usize,
  taken: usize,
): void {
  const whole = width << 2;
  const span = max(1, HOT / (count * whole)) * whole;
  for (let at = 0; at < length; at += whole) {
    if (at % span == 0) v128.store(scratch, touch(rows, count, at, min(span, length - at)));
    const n = min(whole, length - at);
    const vectors = (n + 3) >> 2;
    const pitch = (<usize>vectors) << 4;
    const low = scratch + <usize>from * pitch;
    const high = scratch + <usize>(to - 1) * pitch;
    loadTile(scratch, rows, count, at, vectors);
    fill(scratch + <usize>count * pitch, pitch, Infinity);
    runSteps(scratch, pitch, steps, stepCount);
    meanTile(out + ((<usize>at) << 3), scratch, from, to, vectors);
    restoreRow(low, pitch);
    if (high != low) restoreRow(high, pitch);
    if (n == whole && countTile(counts, rows, count, at, low, high, width) == n * (to - from)) {
      addCounts(taken, counts, count);
    } else {
      for (let v = 0; v < n; v += 4) {
        const o = (<usize>v) << 2;
        countTied(taken, rows, count, at + v, low + o, high + o, from, to, n - v);
      }
    }
  }
}

function fill(x: usize, bytes: usize, value: f32): void {
  const end = x + bytes;
  for (; x < end; x += 16) v128.store(x, f32x4.splat(value));
}

function addCounts(taken: usize, counts: usize, count: i32): void {
  const end = taken + ((<usize>count) << 2);
  for (; taken < end; taken += 4, counts += 4) {
    store<u32>(taken, load<u32>(taken) + load<u32>(counts));
  }
}

/**
 * A whole number that orders as the float with these bits does, and back: below zero, all bits but
 * the sign are turned over.
 */
function ranked(bits: v128): v128 {
  return v128.xor(bits, v128.and(i32x4.shr_s(bits, 31), i32x4.splat(0x7fffffff)));
}

/** Of floats; -0 becomes +0, so that equal values have equal numbers. */
function rankedFloats(x: usize): v128 {
  return ranked(f32x4.add(v128.load(x), f32x4.splat(0)));
}

function restoreRow(x: usize, bytes: usize): void {
  const end = x + bytes;
  for (; x < end; x += 16) v128.store(x, ranked(v128.load(x)));
}

/** Makes a tile of all rows ready to be sorted. */
function loadTile(scratch: usize, rows: usize, count: i32, at: i32, width: i32): void {
  const end = scratch + ((<usize>(count * width)) << 4);
  const pitch = (<usize>width) << 4;
  for (; scratch < end; scratch += pitch, rows += 4) {
    copyRow(scratch, addressOf(rows, 0, at), pitch);
  }
}

/**
 * Reads `length` floats of every row into a near cache: in long runs, for which the machine reads
 * ahead, as it would not for the few lines of each row that a tile takes.
 */
function touch(rows: usize, count: i32, at: i32, length: i32): v128 {
  let all = i32x4.splat(0);
  for (let k = 0; k < count; k++) {
    let x = addressOf(rows, k, at);
    const end = x + ((<usize>length) << 2);
    for (; x < end; x += 64) all = v128.or(all, v128.load(x));
  }
  return all;
}

function copyRow(out: usize, x: usize, bytes: usize): void {
  const end = out + bytes;
  for (; out + 64 <= end; out += 64, x += 64) {
    v128.store(out, rankedFloats(x));
    v128.store(out, rankedFloats(x + 16), 16);
    v128.store(out, rankedFloats(x + 32), 32);
    v128.store(out, rankedFloats(x + 48), 48);
  }
  for (; out < end; out += 16, x += 16) v128.store(out, rankedFloats(x));
}

/** Means in float64 of the ranks `from` to, and without, `to`, in ascending order. */
function meanTile(out: usize, scratch: usize, from: i32, to: i32, width: i32): void {
  const pitch = (<usize>width) << 4;
  const count = f64x2.splat(<f64>(to - from));
  for (let v = 0; v < width; v++, out += 32, scratch += 16) {
    let x = scratch + <usize>from * pitch;
    const end = scratch + <usize>to * pitch;
    let low = f64x2.splat(0);
    let high = low;
    for (; x < end; x += pitch) {
      const value = ranked(v128.load(x));
      low = f64x2.add(low, f64x2.promote_low_f32x4(value));
      high = f64x2.add(high, f64x2.promote_low_f32x4(i64x2.shuffle(value, value, 1, 0)));
    }
    v128.store(out, f64x2.div(low, count));
    v128.store(out, f64x2.div(high, count), 16);
  }
}

/**
 * For every row, into `counts`, how many coordinates of a full tile have its value in [low, high];
 * returns the sum of these numbers. Equal to the coordinates times the window where no value is tied
 * with one at the window's ends.
 */
function countTile(
  counts: usize,
  rows: usize,
  count: i32,
  at: i32,
  low: usize,
  high: usize,
  width: i32,
): i32 {
  const bytes = (<usize>width) << 4;
  let total = 0;
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    total += countFour(counts + ((<usize>k) << 2), rows + ((<usize>k) << 2), at, low, high, bytes);
  }
  for (; k < count; k++) {
    const found = countRow(addressOf(rows, k, at), low, high, bytes);
    store<i32>(counts + ((<usize>k) << 2), found);
    total += found;
  }
  return total;
}

/** -1 in every lane that is inside: subtracting it counts. */
function inside(x: usize, low: v128, high: v128): v128 {
  const value = v128.load(x);
  return v128.and(f32x4.ge(value, low), f32x4.le(value, high));
}

function countFour(
  counts: usize,
  rows: usize,
  at: i32,
  low: usize,
  high: usize,
  bytes: usize,
): i32 {
  const x0 = addressOf(rows, 0, at);
  const x1 = addressOf(rows, 1, at);
  const x2 = addressOf(rows, 2, at);
  const x3 = addressOf(rows, 3, at);
  let c0 = i32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let o: usize = 0;
  do {
    const least = v128.load(low + o);
    const most = v128.load(high + o);
    c0 = i32x4.sub(c0, inside(x0 + o, least, most));
    c1 = i32x4.sub(c1, inside(x1 + o, least, most));
    c2 = i32x4.sub(c2, inside(x2 + o, least, most));
    c3 = i32x4.sub(c3, inside(x3 + o, least, most));
    o += 16;
  } while (o < bytes);
  const found = i32x4(sumLanes(c0), sumLanes(c1), sumLanes(c2), sumLanes(c3));
  v128.store(counts, found);
  return sumLanes(found);
}

function countRow(x: usize, low: usize, high: usize, bytes: usize): i32 {
  let counts = i32x4.splat(0);
  let o: usize = 0;
  do {
    counts = i32x4.sub(counts, inside(x + o, v128.load(low + o), v128.load(high + o)));
    o += 16;
  } while (o < bytes);
  return sumLanes(counts);
}

function sumLanes(x: v128): i32 {
  const two = i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1);
  return two + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}

/**
 * The same for four coordinates in which values may be tied: equal values rank by row, and only those
 * with a rank in the window count. Adds to `taken`.
 * @param lanes how many of the four coordinates there are
 */
function countTied(
  taken: usize,
  rows: usize,
  count: i32,
  at: i32,
  low: usize,
  high: usize,
  from: i32,
  to: i32,
  lanes: i32,
): void {
  const least = v128.load(low);
  const most = v128.load(high);
  const first = i32x4.splat(from);
  const last = i32x4.splat(to);
  const present = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(lanes));
  // Ranks of the next value that equals the least, or the most, of the window.
  let nextLeast = i32x4.splat(0);
  let nextMost = nextLeast;
  for (let k = 0; k < count; k++) {
    const x = v128.load(addressOf(rows, k, at));
    nextLeast = i32x4.sub(nextLeast, f32x4.lt(x, least));
    nextMost = i32x4.sub(nextMost, f32x4.lt(x, most));
  }
  for (let k = 0; k < count; k++) {
    const x = v128.load(addressOf(rows, k, at));
    const isLeast = f32x4.eq(x, least);
    const isMost = f32x4.eq(x, most);
    const ofLeast = v128.and(isLeast, inRange(nextLeast, first, last));
    const ofMost = v128.and(isMost, inRange(nextMost, first, last));
    const between = v128.and(f32x4.gt(x, least), f32x4.lt(x, most));
    const isTaken = v128.and(present, v128.or(between, v128.or(ofLeast, ofMost)));
    nextLeast = i32x4.sub(nextLeast, isLeast);
    nextMost = i32x4.sub(nextMost, isMost);
    const target = taken + ((<usize>k) << 2);
    store<i32>(target, load<i32>(target) - sumLanes(isTaken));
  }
}

function inRange(rank: v128, first: v128, last: v128): v128 {
  return v128.and(i32x4.ge_s(rank, first), i32x4.lt_s(rank, last));
}
