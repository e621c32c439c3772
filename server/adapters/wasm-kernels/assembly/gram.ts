/**
 * Inner products of all pairs of rows (core/kernels/reference/gram.ts), stretch by stretch: the rows
 * are packed, four side by side, and multiplied in blocks of four rows by two. Eight sums and six
 * vectors are as many as there are registers.
 */
import { addressOf } from './table';

/** Elements over which products are summed before they are added to the matrix. */
const STRETCH: i32 = 512;

/**
 * matrix[i - from][j] += <rows[i], rows[j]> for `from` <= i < `to` and j < i + 4. Both are multiples
 * of four; the table names the last row again where there are fewer. Lines of the matrix lie `pitch`
 * numbers apart.
 * @param packed room for a stretch of `to` rows, in f32 or, for exact sums, in f64
 */
export function gram(
  matrix: usize,
  pitch: i32,
  rows: usize,
  from: i32,
  to: i32,
  length: i32,
  packed: usize,
  isFast: bool,
): void {
  for (let at = 0; at < length; at += STRETCH) {
    const n = min(STRETCH, length - at);
    // Bytes of four rows: whole vectors, which hold four floats or two doubles.
    const bytes = isFast ? (<usize>((n + 3) >> 2)) << 6 : (<usize>((n + 1) >> 1)) << 6;
    for (let k = 0; k < to; k += 4) {
      const group = packed + <usize>(k >> 2) * bytes;
      for (let r = 0; r < 4; r++) {
        const x = addressOf(rows, k + r, at);
        if (isFast) packFloats(group + ((<usize>r) << 4), x, n);
        else packDoubles(group + ((<usize>r) << 4), x, n);
      }
    }
    for (let i = from; i < to; i += 4) {
      multiplyLine(matrix, pitch, i, from, packed, bytes, isFast);
    }
  }
}

/** Every vector of a row 64 bytes after the one before, zeros behind the end. */
function packFloats(out: usize, x: usize, n: i32): void {
  const end = x + ((<usize>(n & ~3)) << 2);
  for (; x < end; x += 16, out += 64) v128.store(out, v128.load(x));
  if ((n & 3) == 0) return;
  v128.store(out, i32x4.splat(0));
  for (let i = 0; i < (n & 3); i++)
    store<f32>(out + ((<usize>i) << 2), load<f32>(x + ((<usize>i) << 2)));
}

function packDoubles(out: usize, x: usize, n: i32): void {
  const end = x + ((<usize>(n & ~1)) << 2);
  for (; x < end; x += 8, out += 64) {
    v128.store(out, f64x2.promote_low_f32x4(v128.load64_zero(x)));
  }
  if (n & 1) v128.store(out, f64x2.replace_lane(f64x2.splat(0), 0, <f64>load<f32>(x)));
}

function multiplyLine(
  matrix: usize,
  pitch: i32,
  i: i32,
  from: i32,
  packed: usize,
  bytes: usize,
  isFast: bool,
): void {
  const a = packed + <usize>(i >> 2) * bytes;
  const line = matrix + ((<usize>((i - from) * pitch)) << 3);
  for (let j = 0; j < i + 4; j += 2) {
    const b = packed + <usize>(j >> 2) * bytes + ((<usize>(j & 2)) << 4);
    const block = line + ((<usize>j) << 3);
    if (isFast) multiply<f32>(block, pitch, a, b, a + bytes);
    else multiply<f64>(block, pitch, a, b, a + bytes);
  }
}

/** Adds the lanes of two sums, in float64, to two neighbours in the matrix. */
function put(target: usize, sums: v128, others: v128): void {
  const low = i64x2.shuffle(sums, others, 0, 2);
  const high = i64x2.shuffle(sums, others, 1, 3);
  v128.store(target, f64x2.add(v128.load(target), f64x2.add(low, high)));
}

/** (s0 + s2, s1 + s3) */
function halves(sum: v128): v128 {
  const high = i64x2.shuffle(sum, sum, 1, 0);
  return f64x2.add(f64x2.promote_low_f32x4(sum), f64x2.promote_low_f32x4(high));
}

/** The lanes of a sum as two in float64. */
function inDoubles<T>(sum: v128): v128 {
  return sizeof<T>() == 4 ? halves(sum) : sum;
}

/**
 * A block of four rows by two, added to the matrix. `end` is where the rows `a` end. T is what they
 * are packed as: products of two float32 are exact in float64.
 */
function multiply<T>(block: usize, pitch: i32, a: usize, b: usize, end: usize): void {
  let s00 = v128.splat<T>(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  let s20 = s00;
  let s21 = s00;
  let s30 = s00;
  let s31 = s00;
  do {
    const y0 = v128.load(b);
    const y1 = v128.load(b, 16);
    const x0 = v128.load(a);
    s00 = v128.add<T>(s00, v128.mul<T>(x0, y0));
    s01 = v128.add<T>(s01, v128.mul<T>(x0, y1));
    const x1 = v128.load(a, 16);
    s10 = v128.add<T>(s10, v128.mul<T>(x1, y0));
    s11 = v128.add<T>(s11, v128.mul<T>(x1, y1));
    const x2 = v128.load(a, 32);
    s20 = v128.add<T>(s20, v128.mul<T>(x2, y0));
    s21 = v128.add<T>(s21, v128.mul<T>(x2, y1));
    const x3 = v128.load(a, 48);
    s30 = v128.add<T>(s30, v128.mul<T>(x3, y0));
    s31 = v128.add<T>(s31, v128.mul<T>(x3, y1));
    a += 64;
    b += 64;
  } while (a < end);
  const line = (<usize>pitch) << 3;
  put(block, inDoubles<T>(s00), inDoubles<T>(s01));
  put(block + line, inDoubles<T>(s10), inDoubles<T>(s11));
  put(block + 2 * line, inDoubles<T>(s20), inDoubles<T>(s21));
  put(block + 3 * line, inDoubles<T>(s30), inDoubles<T>(s31));
}
