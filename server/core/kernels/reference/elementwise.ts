/** Kernels that go through vectors element by element. */
import type { Check, Rows } from '../kernels.js';

/** A Float32Array rounds what is stored in it. */
export function apply(out: Float32Array, base: Float32Array, delta: Float64Array): void {
  for (let i = 0; i < out.length; i++) out[i] = delta[i] === 0 ? base[i] : base[i] + delta[i];
}

export function check(into: Check, taken: number, x: Float32Array): void {
  for (let i = 0; i < x.length; i++) {
    into.squares[(taken + i) & 3] += x[i] * x[i];
    into.maxAbs = Math.max(into.maxAbs, Math.abs(x[i]));
  }
}

export function combine(
  out: Float64Array,
  offset: number,
  rows: Rows,
  coefficients: readonly number[],
): void {
  rows.forEach((x, k) => {
    const coefficient = coefficients[k];
    if (coefficient === 0) return;
    for (let i = 0; i < x.length; i++) out[offset + i] += coefficient * x[i];
  });
}
