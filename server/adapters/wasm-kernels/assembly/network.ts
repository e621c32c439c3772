/**
 * Steps of a sorting network, carried out in registers: wasm-kernels/network.ts says which. The rows
 * of a step are `pitch` bytes of `scratch` each; the step is a kind and up to eight places of rows.
 * Values are whole numbers: machines compare those twice as fast as floats.
 */

/** Bytes of a step: its kind and eight places, u32 each. */
const STEP: usize = 36;

/** Marks, told apart when this is compiled: the lesser or the greater of two, ... */
class Low {}
class High {}
/** ... and whether the second half of the rows is in order, or given and left turned round. */
class Onwards {}
class Back {}

function better<Which>(a: v128, b: v128): v128 {
  return idof<Which>() == idof<Low>() ? i32x4.min_s(a, b) : i32x4.max_s(a, b);
}

/** Where one of the second half is stored. */
function placed<Order>(onwards: usize, back: usize): usize {
  return idof<Order>() == idof<Onwards>() ? onwards : back;
}

/** Works through `count` steps. */
export function runSteps(scratch: usize, pitch: usize, steps: usize, count: i32): void {
  const end = steps + <usize>count * STEP;
  for (; steps < end; steps += STEP) {
    switch (load<u32>(steps)) {
      case 0:
        sortEight(scratch, pitch, steps);
        break;
      case 1:
        layersOfEight<Onwards>(scratch, pitch, steps);
        break;
      case 2:
        layersOfEight<Back>(scratch, pitch, steps);
        break;
      case 3:
        layersOfFour<Onwards>(scratch, pitch, steps);
        break;
      case 4:
        layersOfFour<Back>(scratch, pitch, steps);
        break;
      case 5:
        pick<Low, Low>(scratch, pitch, steps);
        break;
      case 6:
        pick<Low, High>(scratch, pitch, steps);
        break;
      case 7:
        pick<High, Low>(scratch, pitch, steps);
        break;
      default:
        pick<High, High>(scratch, pitch, steps);
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
    t = i32x4.min_s(x0, x1);
    x1 = i32x4.max_s(x0, x1);
    x0 = t;
    t = i32x4.min_s(x2, x3);
    x3 = i32x4.max_s(x2, x3);
    x2 = t;
    t = i32x4.min_s(x4, x5);
    x5 = i32x4.max_s(x4, x5);
    x4 = t;
    t = i32x4.min_s(x6, x7);
    x7 = i32x4.max_s(x6, x7);
    x6 = t;
    t = i32x4.min_s(x0, x2);
    x2 = i32x4.max_s(x0, x2);
    x0 = t;
    t = i32x4.min_s(x1, x3);
    x3 = i32x4.max_s(x1, x3);
    x1 = t;
    t = i32x4.min_s(x4, x6);
    x6 = i32x4.max_s(x4, x6);
    x4 = t;
    t = i32x4.min_s(x5, x7);
    x7 = i32x4.max_s(x5, x7);
    x5 = t;
    t = i32x4.min_s(x1, x2);
    x2 = i32x4.max_s(x1, x2);
    x1 = t;
    t = i32x4.min_s(x5, x6);
    x6 = i32x4.max_s(x5, x6);
    x5 = t;
    t = i32x4.min_s(x0, x4);
    x4 = i32x4.max_s(x0, x4);
    x0 = t;
    t = i32x4.min_s(x1, x5);
    x5 = i32x4.max_s(x1, x5);
    x1 = t;
    t = i32x4.min_s(x2, x6);
    x6 = i32x4.max_s(x2, x6);
    x2 = t;
    t = i32x4.min_s(x3, x7);
    x7 = i32x4.max_s(x3, x7);
    x3 = t;
    t = i32x4.min_s(x2, x4);
    x4 = i32x4.max_s(x2, x4);
    x2 = t;
    t = i32x4.min_s(x3, x5);
    x5 = i32x4.max_s(x3, x5);
    x3 = t;
    t = i32x4.min_s(x1, x2);
    x2 = i32x4.max_s(x1, x2);
    x1 = t;
    t = i32x4.min_s(x3, x4);
    x4 = i32x4.max_s(x3, x4);
    x3 = t;
    t = i32x4.min_s(x5, x6);
    x6 = i32x4.max_s(x5, x6);
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
function layersOfEight<Order>(scratch: usize, pitch: usize, step: usize): void {
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
    t = i32x4.min_s(x0, x4);
    x4 = i32x4.max_s(x0, x4);
    x0 = t;
    t = i32x4.min_s(x1, x5);
    x5 = i32x4.max_s(x1, x5);
    x1 = t;
    t = i32x4.min_s(x2, x6);
    x6 = i32x4.max_s(x2, x6);
    x2 = t;
    t = i32x4.min_s(x3, x7);
    x7 = i32x4.max_s(x3, x7);
    x3 = t;
    t = i32x4.min_s(x0, x2);
    x2 = i32x4.max_s(x0, x2);
    x0 = t;
    t = i32x4.min_s(x1, x3);
    x3 = i32x4.max_s(x1, x3);
    x1 = t;
    t = i32x4.min_s(x4, x6);
    x6 = i32x4.max_s(x4, x6);
    x4 = t;
    t = i32x4.min_s(x5, x7);
    x7 = i32x4.max_s(x5, x7);
    x5 = t;
    t = i32x4.min_s(x0, x1);
    x1 = i32x4.max_s(x0, x1);
    x0 = t;
    t = i32x4.min_s(x2, x3);
    x3 = i32x4.max_s(x2, x3);
    x2 = t;
    t = i32x4.min_s(x4, x5);
    x5 = i32x4.max_s(x4, x5);
    x4 = t;
    t = i32x4.min_s(x6, x7);
    x7 = i32x4.max_s(x6, x7);
    x6 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(p2, x2);
    v128.store(p3, x3);
    v128.store(placed<Order>(p4, p7), x4);
    v128.store(placed<Order>(p5, p6), x5);
    v128.store(placed<Order>(p6, p5), x6);
    v128.store(placed<Order>(p7, p4), x7);
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
function layersOfFour<Order>(scratch: usize, pitch: usize, step: usize): void {
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
    t = i32x4.min_s(x0, x2);
    x2 = i32x4.max_s(x0, x2);
    x0 = t;
    t = i32x4.min_s(x1, x3);
    x3 = i32x4.max_s(x1, x3);
    x1 = t;
    t = i32x4.min_s(x0, x1);
    x1 = i32x4.max_s(x0, x1);
    x0 = t;
    t = i32x4.min_s(x2, x3);
    x3 = i32x4.max_s(x2, x3);
    x2 = t;
    v128.store(p0, x0);
    v128.store(p1, x1);
    v128.store(placed<Order>(p2, p3), x2);
    v128.store(placed<Order>(p3, p2), x3);
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  } while (p0 < end);
}

/** One of the four results of two layers, where nothing asks for the others. */
function pick<Inner, Outer>(scratch: usize, pitch: usize, step: usize): void {
  let p0 = scratch + <usize>load<u32>(step, 4) * pitch;
  let p1 = scratch + <usize>load<u32>(step, 8) * pitch;
  let p2 = scratch + <usize>load<u32>(step, 12) * pitch;
  let p3 = scratch + <usize>load<u32>(step, 16) * pitch;
  let out = scratch + <usize>load<u32>(step, 20) * pitch;
  const end = p0 + pitch;
  do {
    const a = better<Inner>(v128.load(p0), v128.load(p1));
    const b = better<Inner>(v128.load(p2), v128.load(p3));
    v128.store(out, better<Outer>(a, b));
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
    out += 16;
  } while (p0 < end);
}
