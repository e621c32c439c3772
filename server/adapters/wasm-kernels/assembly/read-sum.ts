/** Reads memory as fast as this engine can: what the benches hold the kernels against. */

/** The sum of `length` floats, a multiple of 32, in eight accumulators. */
export function readSum(x: usize, length: i32): f32 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  const end = x + ((<usize>length) << 2);
  do {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    s2 = f32x4.add(s2, v128.load(x, 32));
    s3 = f32x4.add(s3, v128.load(x, 48));
    s4 = f32x4.add(s4, v128.load(x, 64));
    s5 = f32x4.add(s5, v128.load(x, 80));
    s6 = f32x4.add(s6, v128.load(x, 96));
    s7 = f32x4.add(s7, v128.load(x, 112));
    x += 128;
  } while (x < end);
  s0 = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
  s4 = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7));
  s0 = f32x4.add(s0, s4);
  const low = f32x4.extract_lane(s0, 0) + f32x4.extract_lane(s0, 1);
  return low + f32x4.extract_lane(s0, 2) + f32x4.extract_lane(s0, 3);
}
