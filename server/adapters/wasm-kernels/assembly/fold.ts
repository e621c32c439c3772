/**
 * The exact fold (core/kernels/reference/fixed-point.ts says what it is). Rows are read in passes of
 * eight, four or one; the sums of a tile stay in the cache while all rows go over it.
 *
 * Loops are `do ... while` throughout: V8 lifts what does not change out of a loop only where its
 * body runs at least once.
 */
import { addressOf, f64At } from './table';

/** Adding 2^52 + 2^51 rounds to a whole number, half to even, and leaves it in the low bits. */
const SHIFT: f64 = 6755399441055744.0;
const SHIFT_BITS: i64 = 0x4338000000000000;

/** Elements whose sums are kept hot: 256 KiB of them. Shorter, and reading ahead would not pay. */
const TILE: i32 = 32768;

/** Two terms with the bits of SHIFT on top. The load and the widening are one instruction. */
function terms(x: usize, factor: v128): v128 {
  const product = f64x2.mul(f64x2.promote_low_f32x4(v128.load64_zero(x)), factor);
  return f64x2.add(product, f64x2.splat(SHIFT));
}

function term(x: usize, factor: f64): i64 {
  return reinterpret<i64>(<f64>load<f32>(x) * factor + SHIFT) - SHIFT_BITS;
}

function add(sum: v128, x: usize, factor: v128): v128 {
  return i64x2.add(sum, terms(x, factor));
}

/**
 * sum[i] += round(factors[k] * rows[k][i]) for `length` elements and `count` rows.
 */
export function fold(sum: usize, length: i32, rows: usize, factors: usize, count: i32): void {
  for (let at = 0; at < length; at += TILE) {
    const n = min(TILE, length - at);
    const target = sum + ((<usize>at) << 3);
    let k = 0;
    for (; k + 8 <= count; k += 8) foldEight(target, n, rows, factors, k, at);
    for (; k + 4 <= count; k += 4) foldFour(target, n, rows, factors, k, at);
    for (; k < count; k++) foldOne(target, n, addressOf(rows, k, at), f64At(factors, k));
  }
}

function foldEight(sum: usize, n: i32, rows: usize, factors: usize, k: i32, at: i32): void {
  const x0 = addressOf(rows, k, at);
  const x1 = addressOf(rows, k + 1, at);
  const x2 = addressOf(rows, k + 2, at);
  const x3 = addressOf(rows, k + 3, at);
  const x4 = addressOf(rows, k + 4, at);
  const x5 = addressOf(rows, k + 5, at);
  const x6 = addressOf(rows, k + 6, at);
  const x7 = addressOf(rows, k + 7, at);
  const f0 = f64x2.splat(f64At(factors, k));
  const f1 = f64x2.splat(f64At(factors, k + 1));
  const f2 = f64x2.splat(f64At(factors, k + 2));
  const f3 = f64x2.splat(f64At(factors, k + 3));
  const f4 = f64x2.splat(f64At(factors, k + 4));
  const f5 = f64x2.splat(f64At(factors, k + 5));
  const f6 = f64x2.splat(f64At(factors, k + 6));
  const f7 = f64x2.splat(f64At(factors, k + 7));
  const shifts = i64x2.splat(8 * SHIFT_BITS);
  const end = ((<usize>n) & ~1) << 2;
  let o: usize = 0;
  if (end > 0) {
    do {
      const target = sum + (o << 1);
      let total = i64x2.sub(v128.load(target), shifts);
      total = add(total, x0 + o, f0);
      total = add(total, x1 + o, f1);
      total = add(total, x2 + o, f2);
      total = add(total, x3 + o, f3);
      total = add(total, x4 + o, f4);
      total = add(total, x5 + o, f5);
      total = add(total, x6 + o, f6);
      total = add(total, x7 + o, f7);
      v128.store(target, total);
      o += 8;
    } while (o < end);
  }
  if (n & 1)
    for (let r = 0; r < 8; r++) foldLast(sum, n, addressOf(rows, k + r, at), f64At(factors, k + r));
}

function foldFour(sum: usize, n: i32, rows: usize, factors: usize, k: i32, at: i32): void {
  const x0 = addressOf(rows, k, at);
  const x1 = addressOf(rows, k + 1, at);
  const x2 = addressOf(rows, k + 2, at);
  const x3 = addressOf(rows, k + 3, at);
  const f0 = f64x2.splat(f64At(factors, k));
  const f1 = f64x2.splat(f64At(factors, k + 1));
  const f2 = f64x2.splat(f64At(factors, k + 2));
  const f3 = f64x2.splat(f64At(factors, k + 3));
  const shifts = i64x2.splat(4 * SHIFT_BITS);
  const end = ((<usize>n) & ~1) << 2;
  let o: usize = 0;
  if (end > 0) {
    do {
      const target = sum + (o << 1);
      let total = i64x2.sub(v128.load(target), shifts);
      total = add(total, x0 + o, f0);
      total = add(total, x1 + o, f1);
      total = add(total, x2 + o, f2);
      total = add(total, x3 + o, f3);
      v128.store(target, total);
      o += 8;
    } while (o < end);
  }
  if (n & 1)
    for (let r = 0; r < 4; r++) foldLast(sum, n, addressOf(rows, k + r, at), f64At(factors, k + r));
}

function foldOne(sum: usize, n: i32, x: usize, factor: f64): void {
  const f = f64x2.splat(factor);
  const shift = i64x2.splat(SHIFT_BITS);
  const end = ((<usize>n) & ~1) << 2;
  let o: usize = 0;
  if (end > 0) {
    do {
      const target = sum + (o << 1);
      v128.store(target, add(i64x2.sub(v128.load(target), shift), x + o, f));
      o += 8;
    } while (o < end);
  }
  if (n & 1) foldLast(sum, n, x, factor);
}

/** The element that is left over where there is an odd number. */
function foldLast(sum: usize, n: i32, x: usize, factor: f64): void {
  const target = sum + ((<usize>(n - 1)) << 3);
  store<i64>(target, load<i64>(target) + term(x + ((<usize>(n - 1)) << 2), factor));
}
