/** Kernels that go through vectors element by element (core/kernels/reference/elementwise.ts). */
/** sum[i] += other[i], as i64 */
export function merge(sum: usize, other: usize, length: i32): void {
  const end = sum + ((<usize>length) << 3);
  for (; sum + 16 <= end; sum += 16, other += 16) {
    v128.store(sum, i64x2.add(v128.load(sum), v128.load(other)));
  }
  if (sum < end) store<i64>(sum, load<i64>(sum) + load<i64>(other));
}

/** out[i] = (terms[i] / divisor) * factor. Out may be where terms are. */
export function finish(out: usize, terms: usize, length: i32, divisor: f64, factor: f64): void {
  const end = terms + ((<usize>length) << 3);
  for (; terms < end; terms += 8, out += 8) {
    store<f64>(out, (<f64>load<i64>(terms) / divisor) * factor);
  }
}

/** Zeros become -0, which is what changes nothing when it is added, not even the sign of a zero. */
function neutral(delta: v128): v128 {
  const sign = v128.and(f64x2.eq(delta, f64x2.splat(0)), f64x2.splat(-0.0));
  return v128.or(delta, sign);
}

/** out[i] = fround(base[i] + delta[i]). Works on pairs: the arrays have room for an even number. */
export function apply(out: usize, base: usize, delta: usize, length: i32): void {
  const end = base + ((<usize>length) << 2);
  for (; base < end; base += 8, delta += 16, out += 8) {
    const before = f64x2.promote_low_f32x4(v128.load64_zero(base));
    const after = f64x2.add(before, neutral(v128.load(delta)));
    v128.store64_lane(out, f32x4.demote_f64x2_zero(after), 0);
  }
}

/**
 * Squares and greatest size of `length` floats, of which the first has the index `phase` modulo 4.
 * @param state four sums of squares as f64, then the greatest absolute value as f32
 */
export function check(state: usize, phase: i32, x: usize, length: i32): void {
  const end = x + ((<usize>length) << 2);
  for (; x < end && (phase & 3) != 0; x += 4, phase++) checkOne(state, phase, x);
  const whole = (end - x) & ~15;
  if (whole > 0) checkFours(state, x, x + whole);
  for (x += whole; x < end; x += 4, phase++) checkOne(state, phase, x);
}

function checkOne(state: usize, phase: i32, x: usize): void {
  const value = <f64>load<f32>(x);
  const square = state + ((<usize>(phase & 3)) << 3);
  store<f64>(square, load<f64>(square) + value * value);
  store<u32>(state + 32, max<u32>(load<u32>(state + 32), load<u32>(x) & 0x7fffffff));
}

/** Bits of floats without their sign are in the order of the floats, and NaN above all. */
function checkFours(state: usize, x: usize, end: usize): void {
  let low = v128.load(state);
  let high = v128.load(state, 16);
  let most = i32x4.splat(load<i32>(state, 32));
  do {
    const a = f64x2.promote_low_f32x4(v128.load64_zero(x));
    const b = f64x2.promote_low_f32x4(v128.load64_zero(x, 8));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
    most = i32x4.max_u(most, v128.and(v128.load(x), i32x4.splat(0x7fffffff)));
    x += 16;
  } while (x < end);
  v128.store(state, low);
  v128.store(state, high, 16);
  const two = max<u32>(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1));
  const others = max<u32>(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3));
  store<u32>(state, max<u32>(two, others), 32);
}
