/**
 * Steps of a sorting network, carried out in registers: wasm-kernels/network.ts says which. The rows
 * of a step are `pitch` bytes of `scratch` each; the step is a kind and up to eight places of rows.
 */

/** Bytes of a step: its kind and eight places, u32 each. */
const STEP: usize = 36;

/** Works through `count` steps. */
export function runSteps(scratch: usize, pitch: usize, steps: usize, count: i32): void {
  const end = steps + <usize>count * STEP;
  for (; steps < end; steps += STEP) {
    switch (load<u32>(steps)) {
      case 0:
        sortEight(scratch, pitch, steps);
        break;
      case 1:
        mergeEight(scratch, pitch, steps);
        break;
      case 2:
        flipEight(scratch, pitch, steps);
        break;
      case 3:
        mergeFour(scratch, pitch, steps);
        break;
      default:
        flipFour(scratch, pitch, steps);
    }
  }
}

/** Eight rows in order. */
function sortEight(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  let p4 = scratch + <usize>load<u32>(step, 20) * pitch;
  let p5 = scratch + <usize>load<u32>(step, 24) * pitch;
  let p6 = scratch + <usize>load<u32>(step, 28) * pitch;
  let p7 = scratch + <usize>load<u32>(step, 32) * pitch;
  const end = p0 + pitch;
  let t: v128;
  do {
    let x0 = v128.load(p0);
    let x1 = v128.load(p1);
    let x2 = v128.load(p2);
    let x3 = v128.load(p3);
    let x4 = v128.load(p4);
    let x5 = v128.load(p5);
    let x6 = v128.load(p6);
    let x7 = v128.load(p7);
    t = f32x4.pmin(x0, x1);
    x1 = f32x4.pmax(x0, x1);
    x0 = t;
    t = f32x4.pmin(x2, x3);
    x3 = f32x4.pmax(x2, x3);
    x2 = t;
    t = f32x4.pmin(x4, x5);
    x5 = f32x4.pmax(x4, x5);
    x4 = t;
    t = f32x4.pmin(x6, x7);
    x7 = f32x4.pmax(x6, x7);
    x6 = t;
    t = f32x4.pmin(x0, x2);
    x2 = f32x4.pmax(x0, x2);
    x0 = t;
    t = f32x4.pmin(x1, x3);
    x3 = f32x4.pmax(x1, x3);
    x1 = t;
    t = f32x4.pmin(x4, x6);
    x6 = f32x4.pmax(x4, x6);
    x4 = t;
    t = f32x4.pmin(x5, x7);
    x7 = f32x4.pmax(x5, x7);
    x5 = t;
    t = f32x4.pmin(x1, x2);
    x2 = f32x4.pmax(x1, x2);
    x1 = t;
    t = f32x4.pmin(x5, x6);
    x6 = f32x4.pmax(x5, x6);
    x5 = t;
    t = f32x4.pmin(x0, x4);
    x4 = f32x4.pmax(x0, x4);
    x0 = t;
    t = f32x4.pmin(x1, x5);
    x5 = f32x4.pmax(x1, x5);
    x1 = t;
    t = f32x4.pmin(x2, x6);
    x6 = f32x4.pmax(x2, x6);
    x2 = t;
    t = f32x4.pmin(x3, x7);
    x7 = f32x4.pmax(x3, x7);
    x3 = t;
    t = f32x4.pmin(x2, x4);
    x4 = f32x4.pmax(x2, x4);
    x2 = t;
    t = f32x4.pmin(x3, x5);
    x5 = f32x4.pmax(x3, x5);
    x3 = t;
    t = f32x4.pmin(x1, x2);
    x2 = f32x4.pmax(x1, x2);
    x1 = t;
    t = f32x4.pmin(x3, x4);
    x4 = f32x4.pmax(x3, x4);
    x3 = t;
    t = f32x4.pmin(x5, x6);
    x6 = f32x4.pmax(x5, x6);
    x5 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p2, x2);
    v128.store(p3, x3);
    v128.store(p4, x4);
    v128.store(p5, x5);
    v128.store(p6, x6);
    v128.store(p7, x7);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
    p4 += 16;
    p5 += 16;
    p6 += 16;
    p7 += 16;
  } while (p0 < end);
}

/** Three layers over eight rows: at distances of four, two and one. */
function mergeEight(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  let p4 = scratch + <usize>load<u32>(step, 20) * pitch;
  let p5 = scratch + <usize>load<u32>(step, 24) * pitch;
  let p6 = scratch + <usize>load<u32>(step, 28) * pitch;
  let p7 = scratch + <usize>load<u32>(step, 32) * pitch;
  const end = p0 + pitch;
  let t: v128;
  do {
    let x0 = v128.load(p0);
    let x1 = v128.load(p1);
    let x2 = v128.load(p2);
    let x3 = v128.load(p3);
    let x4 = v128.load(p4);
    let x5 = v128.load(p5);
    let x6 = v128.load(p6);
    let x7 = v128.load(p7);
    t = f32x4.pmin(x0, x4);
    x4 = f32x4.pmax(x0, x4);
    x0 = t;
    t = f32x4.pmin(x1, x5);
    x5 = f32x4.pmax(x1, x5);
    x1 = t;
    t = f32x4.pmin(x2, x6);
    x6 = f32x4.pmax(x2, x6);
    x2 = t;
    t = f32x4.pmin(x3, x7);
    x7 = f32x4.pmax(x3, x7);
    x3 = t;
    t = f32x4.pmin(x0, x2);
    x2 = f32x4.pmax(x0, x2);
    x0 = t;
    t = f32x4.pmin(x1, x3);
    x3 = f32x4.pmax(x1, x3);
    x1 = t;
    t = f32x4.pmin(x4, x6);
    x6 = f32x4.pmax(x4, x6);
    x4 = t;
    t = f32x4.pmin(x5, x7);
    x7 = f32x4.pmax(x5, x7);
    x5 = t;
    t = f32x4.pmin(x0, x1);
    x1 = f32x4.pmax(x0, x1);
    x0 = t;
    t = f32x4.pmin(x2, x3);
    x3 = f32x4.pmax(x2, x3);
    x2 = t;
    t = f32x4.pmin(x4, x5);
    x5 = f32x4.pmax(x4, x5);
    x4 = t;
    t = f32x4.pmin(x6, x7);
    x7 = f32x4.pmax(x6, x7);
    x6 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p2, x2);
    v128.store(p3, x3);
    v128.store(p4, x4);
    v128.store(p5, x5);
    v128.store(p6, x6);
    v128.store(p7, x7);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
    p4 += 16;
    p5 += 16;
    p6 += 16;
    p7 += 16;
  } while (p0 < end);
}

/** The same on two runs of four, the second of which is given and left turned round. */
function flipEight(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  let p4 = scratch + <usize>load<u32>(step, 20) * pitch;
  let p5 = scratch + <usize>load<u32>(step, 24) * pitch;
  let p6 = scratch + <usize>load<u32>(step, 28) * pitch;
  let p7 = scratch + <usize>load<u32>(step, 32) * pitch;
  const end = p0 + pitch;
  let t: v128;
  do {
    let x0 = v128.load(p0);
    let x1 = v128.load(p1);
    let x2 = v128.load(p2);
    let x3 = v128.load(p3);
    let x4 = v128.load(p4);
    let x5 = v128.load(p5);
    let x6 = v128.load(p6);
    let x7 = v128.load(p7);
    t = f32x4.pmin(x0, x4);
    x4 = f32x4.pmax(x0, x4);
    x0 = t;
    t = f32x4.pmin(x1, x5);
    x5 = f32x4.pmax(x1, x5);
    x1 = t;
    t = f32x4.pmin(x2, x6);
    x6 = f32x4.pmax(x2, x6);
    x2 = t;
    t = f32x4.pmin(x3, x7);
    x7 = f32x4.pmax(x3, x7);
    x3 = t;
    t = f32x4.pmin(x0, x2);
    x2 = f32x4.pmax(x0, x2);
    x0 = t;
    t = f32x4.pmin(x1, x3);
    x3 = f32x4.pmax(x1, x3);
    x1 = t;
    t = f32x4.pmin(x4, x6);
    x6 = f32x4.pmax(x4, x6);
    x4 = t;
    t = f32x4.pmin(x5, x7);
    x7 = f32x4.pmax(x5, x7);
    x5 = t;
    t = f32x4.pmin(x0, x1);
    x1 = f32x4.pmax(x0, x1);
    x0 = t;
    t = f32x4.pmin(x2, x3);
    x3 = f32x4.pmax(x2, x3);
    x2 = t;
    t = f32x4.pmin(x4, x5);
    x5 = f32x4.pmax(x4, x5);
    x4 = t;
    t = f32x4.pmin(x6, x7);
    x7 = f32x4.pmax(x6, x7);
    x6 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p2, x2);
    v128.store(p3, x3);
    v128.store(p7, x4);
    v128.store(p6, x5);
    v128.store(p5, x6);
    v128.store(p4, x7);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
    p4 += 16;
    p5 += 16;
    p6 += 16;
    p7 += 16;
  } while (p0 < end);
}

/** Two layers over four rows. */
function mergeFour(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  const end = p0 + pitch;
  let t: v128;
  do {
    let x0 = v128.load(p0);
    let x1 = v128.load(p1);
    let x2 = v128.load(p2);
    let x3 = v128.load(p3);
    t = f32x4.pmin(x0, x2);
    x2 = f32x4.pmax(x0, x2);
    x0 = t;
    t = f32x4.pmin(x1, x3);
    x3 = f32x4.pmax(x1, x3);
    x1 = t;
    t = f32x4.pmin(x0, x1);
    x1 = f32x4.pmax(x0, x1);
    x0 = t;
    t = f32x4.pmin(x2, x3);
    x3 = f32x4.pmax(x2, x3);
    x2 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p2, x2);
    v128.store(p3, x3);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  } while (p0 < end);
}

/** The same on two runs of two, the second turned round. */
function flipFour(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  const end = p0 + pitch;
  let t: v128;
  do {
    let x0 = v128.load(p0);
    let x1 = v128.load(p1);
    let x2 = v128.load(p2);
    let x3 = v128.load(p3);
    t = f32x4.pmin(x0, x2);
    x2 = f32x4.pmax(x0, x2);
    x0 = t;
    t = f32x4.pmin(x1, x3);
    x3 = f32x4.pmax(x1, x3);
    x1 = t;
    t = f32x4.pmin(x0, x1);
    x1 = f32x4.pmax(x0, x1);
    x0 = t;
    t = f32x4.pmin(x2, x3);
    x3 = f32x4.pmax(x2, x3);
    x2 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p3, x2);
    v128.store(p2, x3);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  } while (p0 < end);
}
