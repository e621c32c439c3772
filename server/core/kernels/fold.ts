/**
 * The exact fold: weighted sums in 64-bit fixed point, so that any order of arrival, any number of
 * replicas and any crash and resume give the same bits for the same updates (docs/decisions).
 */
import { TributaryError } from '../../../protocol/errors.js';
import { log2Ceil, powerOfTwo, roundHalfEven } from '../math.js';
import type { Contribution, FoldScale, Kernels } from './kernels.js';

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
  kernels.fold(sum.terms, start, tile, weight, scale.termBits);
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
export function finishFold(sum: Contribution, scale: FoldScale): Float64Array {
  const total = Number(sum.weight);
  if (total === 0) return new Float64Array(sum.terms.length);
  const unit = powerOfTwo(scale.weightBits - scale.termBits);
  return mapSums(sum.terms, (term) => (term / total) * unit);
}

/** The plain sum of weight times value, times `factor`. */
export function finishSum(sum: Contribution, scale: FoldScale, factor: number): Float64Array {
  const unit = powerOfTwo(-scale.termBits);
  return mapSums(sum.terms, (term) => term * unit * factor);
}

/**
 * Number(term) of every term, mapped. From the halves, because reading a BigInt for each element
 * allocates it: high * 2^32 is exact, so the sum is rounded once, as Number() rounds.
 */
function mapSums(terms: BigInt64Array, map: (term: number) => number): Float64Array {
  const view = new DataView(terms.buffer, terms.byteOffset, terms.byteLength);
  const result = new Float64Array(terms.length);
  for (let i = 0; i < terms.length; i++) {
    const high = view.getInt32(8 * i + HIGH_BYTE, isLittleEndian);
    const low = view.getUint32(8 * i + 4 - HIGH_BYTE, isLittleEndian);
    result[i] = map(high * 0x100000000 + low);
  }
  return result;
}

const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const HIGH_BYTE = isLittleEndian ? 4 : 0;
