/** The arithmetic under all rules, as an interface: plain TypeScript here, WASM SIMD in adapters. */

/**
 * The scale of an exact fold, fixed when the run is created and stored with it. A term is
 * `weight * x` in f64, times 2^termBits, rounded to an integer (half to even). With every weight,
 * value and count under its cap, a sum of `cohortMax` terms stays under 2^62.
 */
export interface FoldScale {
  readonly cohortMax: number;
  readonly weightMax: number;
  readonly deltaMax: number;
  /** min(50, 62 - ceil(log2 cohortMax)) - ceil(log2 weightMax) - ceil(log2 deltaMax) */
  readonly termBits: number;
  /** The same for the sum of weights: min(50, 62 - ceil(log2 cohortMax)) - ceil(log2 weightMax) */
  readonly weightBits: number;
}

/**
 * A partial sum in 64-bit fixed point: one update, a replica's share of a cohort, or all of it.
 * Adding contributions is associative and commutative, bit for bit.
 */
export interface Contribution {
  readonly terms: BigInt64Array;
  weight: bigint;
  count: number;
}

/** Every method is deterministic: the same input gives the same bits on every machine. */
export interface Kernels {
  /** sum[offset + i] += round(weight * x[i] * 2^bits) */
  fold(sum: BigInt64Array, offset: number, x: Float32Array, weight: number, bits: number): void;
  /** sum[i] += other[i] */
  merge(sum: BigInt64Array, other: BigInt64Array): void;
  /**
   * Dot products of every pair of the rows, added to `gram` (row-major K x K, symmetric); each in
   * f64, elements in ascending order.
   */
  gram(gram: Float64Array, rows: readonly Float32Array[]): void;
  /** out[offset + i] += coefficient * x[i], in f64. */
  axpy(out: Float64Array, offset: number, x: Float32Array, coefficient: number): void;
}
