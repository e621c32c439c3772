/**
 * The exact fold: weighted sums in 64-bit fixed point, so that any order of arrival, any number of
 * replicas and any crash and resume give the same bits for the same updates (docs/decisions).
 */
import { TributaryError } from '../../../protocol/errors.js';
import { log2Ceil, powerOfTwo, roundHalfEven } from '../math.js';
import type { Contribution, FoldScale, Kernels } from './kernels.js';
import { referenceKernels } from './reference.js';

/** With 50 bits a term, the sum of 4096 of them stays under 2^62. */
const TERM_BITS = 50;
const SUM_BITS = 62;
/** Beyond this, a weight times 2^bits could leave the normal range of float64. */
const BITS_LIMIT = 500;

/**
 * The scale for these caps. The greatest term has 50 bits, or fewer where the cohort may be larger
 * than 4096.
 * @throws TributaryError `bad_request` for caps that are not positive, or out of all proportion.
 */
export function foldScale(caps: {
  readonly cohortMax: number;
  readonly weightMax: number;
  readonly deltaMax: number;
}): FoldScale {
  const { cohortMax, weightMax, deltaMax } = caps;
  for (const [name, value] of Object.entries({ cohortMax, weightMax, deltaMax })) {
    if (!(value > 0 && value < Infinity)) {
      throw new TributaryError('bad_request', `caps: ${name} must be positive, not ${value}`);
    }
  }
  const room = Math.min(TERM_BITS, SUM_BITS - log2Ceil(cohortMax));
  const weightBits = room - log2Ceil(weightMax);
  const termBits = weightBits - log2Ceil(deltaMax);
  if (Math.max(Math.abs(weightBits), Math.abs(termBits)) > BITS_LIMIT) {
    const message = `caps: weightMax ${weightMax} and deltaMax ${deltaMax} are out of all proportion`;
    throw new TributaryError('bad_request', message);
  }
  return { cohortMax, weightMax, deltaMax, termBits, weightBits };
}

/** Nothing yet, over `size` elements. */
export function emptyContribution(size: number): Contribution {
  return { terms: new BigInt64Array(size), weight: 0n, count: 0 };
}

/** Adds `weight` times a tile of an update, whose first element is the `start`-th of the vector. */
export function foldTile(
  sum: Contribution,
  start: number,
  tile: Float32Array,
  weight: number,
  scale: FoldScale,
  kernels: Kernels,
): void {
  kernels.fold(sum.terms, start, [tile], [weight], scale.termBits);
}

/** Adds the weight of one update to the sum of weights. */
export function countUpdate(sum: Contribution, weight: number, scale: FoldScale): void {
  sum.weight += weightTerm(weight, scale);
  sum.count += 1;
}

/** A weight in the fixed point of the sum of weights. */
export function weightTerm(weight: number, { weightBits }: FoldScale): bigint {
  return BigInt(roundHalfEven(weight * powerOfTwo(weightBits)));
}

/** The sum of weights as a number. */
export function weightSum(sum: Contribution, { weightBits }: FoldScale): number {
  return Number(sum.weight) * powerOfTwo(-weightBits);
}

/** Adds another partial sum of the same round. Associative and commutative, bit for bit. */
export function addContribution(sum: Contribution, other: Contribution, kernels: Kernels): void {
  if (other.terms.length !== sum.terms.length) {
    const sizes = `${other.terms.length} and ${sum.terms.length}`;
    throw new TributaryError('internal', `contributions of ${sizes} elements cannot be added`);
  }
  kernels.merge(sum.terms, other.terms);
  sum.weight += other.weight;
  sum.count += other.count;
}

/**
 * The weighted mean: (Number(sum) / Number(weightSum)) * 2^(weightBits - termBits), in exactly this
 * order. All zero where the sum of weights is.
 */
export function finishFold(
  sum: Contribution,
  scale: FoldScale,
  kernels: Kernels = referenceKernels,
): Float64Array {
  const result = new Float64Array(sum.terms.length);
  const total = Number(sum.weight);
  if (total === 0) return result;
  kernels.finish(result, sum.terms, total, powerOfTwo(scale.weightBits - scale.termBits));
  return result;
}

/** The plain sum of weight times value, times `factor`. */
export function finishSum(
  sum: Contribution,
  scale: FoldScale,
  factor: number,
  kernels: Kernels = referenceKernels,
): Float64Array {
  const result = new Float64Array(sum.terms.length);
  kernels.finish(result, sum.terms, powerOfTwo(scale.termBits), factor);
  return result;
}
