/**
 * Rows times a factor each, added up: as integers, which is the exact fold
 * (core/kernels/reference/fixed-point.ts says what it is), and in f64, rows in order. Rows are read
 * side by side, as many as a pass takes; the sums of a tile stay in the cache while all passes go over
 * it.
 *
 * Loops are `do ... while` throughout: V8 lifts what does not change out of a loop only where its
 * body runs at least once.
 */
import { f64At, rowAt } from './table';

/** Adding 2^52 + 2^51 rounds to a whole number, half to even, and leaves it in the low bits. */
const SHIFT: f64 = 6755399441055744.0;
const SHIFT_BITS: i64 = 0x4338000000000000;

/** Elements whose sums are kept hot: 256 KiB of them. Shorter, and reading ahead would not pay. */
const TILE: i32 = 32768;
/** Elements whose sums are in registers while the rows of a pass are added. */
const BLOCK: i32 = 8;
/**
 * Rows of one pass, at most. With fewer, the sums come and go more often; with sixteen, processors
 * lose track of what to read next (`npm run bench -- --kernel fold`: 8 rows .73 of reading, 10 .82, 12
 * .86, 14 .87, 16 .70).
 */
const ROWS: i32 = 14;

/** sum[i] += round(factors[k] * rows[k][i]) for `length` elements and `count` rows. */
export function fold(sum: usize, length: i32, rows: usize, factors: usize, count: i32): void {
  addRows<i64>(sum, length, rows, factors, count);
}

/** out[i] += factors[k] * rows[k][i], rows in order. */
export function combine(out: usize, length: i32, rows: usize, factors: usize, count: i32): void {
  addRows<f64>(out, length, rows, factors, count);
}

function addRows<T>(sum: usize, length: i32, rows: usize, factors: usize, count: i32): void {
  const passes = (count + ROWS - 1) / ROWS;
  for (let from = 0; from < length; from += TILE) {
    const to = min(from + TILE, length);
    const whole = from + ((to - from) & -BLOCK);
    for (let pass = 0; pass < passes; pass++) {
      // All passes have the same number of rows, or one more.
      const k = (pass * count) / passes;
      const n = ((pass + 1) * count) / passes - k;
      const table = rows + ((<usize>k) << 2);
      const weights = factors + ((<usize>k) << 3);
      if (whole > from) addBlocks<T>(sum, from, whole, table, weights, n);
      for (let i = whole; i < to; i++) addOne<T>(sum, i, table, weights, n);
    }
  }
}

function addBlocks<T>(
  sum: usize,
  from: i32,
  to: i32,
  rows: usize,
  factors: usize,
  count: i32,
): void {
  const last = rows + ((<usize>count) << 2);
  const end = (<usize>to) << 2;
  let o = (<usize>from) << 2;
  do {
    const target = sum + (o << 1);
    let s0 = sums<T>(v128.load(target), count);
    let s1 = sums<T>(v128.load(target, 16), count);
    let s2 = sums<T>(v128.load(target, 32), count);
    let s3 = sums<T>(v128.load(target, 48), count);
    let row = rows;
    let factor = factors;
    do {
      const x = <usize>load<u32>(row) + o;
      const f = v128.load64_splat(factor);
      s0 = add<T>(s0, v128.load64_zero(x), f);
      s1 = add<T>(s1, v128.load64_zero(x, 8), f);
      s2 = add<T>(s2, v128.load64_zero(x, 16), f);
      s3 = add<T>(s3, v128.load64_zero(x, 24), f);
      row += 4;
      factor += 8;
    } while (row < last);
    v128.store(target, s0);
    v128.store(target, s1, 16);
    v128.store(target, s2, 32);
    v128.store(target, s3, 48);
    o += BLOCK << 2;
  } while (o < end);
}

/** Two sums before so many rows: without the bits of SHIFT that each of them brings. */
function sums<T>(before: v128, count: i32): v128 {
  return isInteger<T>() ? i64x2.sub(before, i64x2.splat(<i64>count * SHIFT_BITS)) : before;
}

/** Two sums and the terms of two floats, which are the low half of x. */
function add<T>(sum: v128, x: v128, factor: v128): v128 {
  const term = f64x2.mul(f64x2.promote_low_f32x4(x), factor);
  if (isInteger<T>()) return i64x2.add(sum, f64x2.add(term, f64x2.splat(SHIFT)));
  return f64x2.add(sum, term);
}

/** The same for an element that is left over. */
function addOne<T>(sum: usize, i: i32, rows: usize, factors: usize, count: i32): void {
  const target = sum + ((<usize>i) << 3);
  for (let k = 0; k < count; k++) {
    const term = <f64>load<f32>(rowAt(rows, k) + ((<usize>i) << 2)) * f64At(factors, k);
    if (isInteger<T>()) {
      store<i64>(target, load<i64>(target) + reinterpret<i64>(term + SHIFT) - SHIFT_BITS);
    } else {
      store<f64>(target, load<f64>(target) + term);
    }
  }
}
