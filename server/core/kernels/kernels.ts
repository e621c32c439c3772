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

/** The same elements of several vectors, in client-id order. */
export type Rows = readonly Float32Array[];

/** Ranks from `from` up to, and without, `to`. */
export interface RankWindow {
  readonly from: number;
  readonly to: number;
}

/** What one pass over a vector finds. */
export interface Check {
  /** Sum of squares in f64, in four interleaved partial sums: by the element's index modulo 4. */
  readonly squares: Float64Array;
  /** Greatest absolute value; NaN and infinities are left out of neither. */
  maxAbs: number;
}

/**
 * Elements over which products of a Gram matrix are summed before they are added to it. Callers that
 * cut vectors at multiples of it get the same bits wherever they cut.
 */
export const STRETCH = 512;

/** Every method is deterministic: the same input gives the same bits on every machine. */
export interface Kernels {
  /**
   * Room for rows, to be read into: an implementation may spare itself a copy of them. It is the
   * caller's until `release`, so that two aggregations that wait for their files side by side don't
   * overwrite each other; room that is never given back costs speed only.
   */
  rows(count: number, length: number): Float32Array[];
  release(rows: Rows): void;
  /** sum[offset + i] += round(weights[k] * rows[k][i] * 2^bits), over all rows k. */
  fold(
    sum: BigInt64Array,
    offset: number,
    rows: Rows,
    weights: readonly number[],
    bits: number,
  ): void;
  /** sum[i] += other[i] */
  merge(sum: BigInt64Array, other: BigInt64Array): void;
  /** out[i] = (Number(terms[i]) / divisor) * factor */
  finish(out: Float64Array, terms: BigInt64Array, divisor: number, factor: number): void;
  /** out[i] = fround(base[i] + delta[i]), and base[i] with its sign where delta[i] is 0. */
  apply(out: Float32Array, base: Float32Array, delta: Float64Array): void;
  /** Takes the next elements of a vector, of which `taken` were before. */
  check(into: Check, taken: number, x: Float32Array): void;
  /**
   * Dot products of every pair of the rows, added to `gram` (row-major K x K, symmetric), stretch by
   * stretch. Within a stretch of {@link STRETCH} elements, `exact` sums in f64, in two lanes by the
   * index modulo 2; `fast` in f32, in four lanes (an error of about 1e-7 |a||b|), at twice the speed.
   */
  gram(gram: Float64Array, rows: Rows, precision: 'exact' | 'fast'): void;
  /**
   * For every element, the mean in f64 of the values in a window of ranks (ascending; equal values by
   * row; -0 counts as +0); and for every row the number of elements in which it was among them, added
   * to `taken`. Values are finite.
   */
  rankMean(
    out: Float64Array,
    offset: number,
    rows: Rows,
    window: RankWindow,
    taken: Float64Array,
  ): void;
  /** out[offset + i] += coefficients[k] * rows[k][i], in f64, rows in order; zero coefficients skipped. */
  combine(out: Float64Array, offset: number, rows: Rows, coefficients: readonly number[]): void;
}
