/**
 * How far the exact fold is from the true weighted mean, beside two common ways to compute it.
 * The truth is a sum of BigInts: every float32 is a whole multiple of 2^-149. Prints a table for
 * docs/measured.md; `npm run measure:fold`.
 */
import {
  emptyContribution,
  finishFold,
  foldScale,
  foldTile,
  weightTerm,
} from '../server/core/kernels/fold.js';
import { referenceKernels } from '../server/core/kernels/reference.js';
import { randomStream } from '../server/core/random.js';
import { table } from '../server/cli/output.js';

const SIZE = 20_000;
const CLIENTS = 100;
const FINEST = 149;

interface Sample {
  readonly weights: readonly number[];
  readonly deltas: readonly Float32Array[];
}

/** Example counts from 1 to 5000, deltas of both signs with magnitudes around `magnitude`. */
function sampleOf(magnitude: number): Sample {
  const random = randomStream(7, 'fold-error', magnitude);
  const spread = (): number => (random.uniform() - 0.5) * (random.uniform() + 0.01) * 4 * magnitude;
  return {
    weights: Array.from({ length: CLIENTS }, () => 1 + random.below(5000)),
    deltas: Array.from({ length: CLIENTS }, () => Float32Array.from({ length: SIZE }, spread)),
  };
}

/** x * 2^149 as a whole number. */
function asInteger(x: number): bigint {
  const scaled = x * 2 ** 60;
  let shift = FINEST - 60;
  let value = scaled;
  while (!Number.isInteger(value)) {
    value *= 2;
    shift -= 1;
  }
  return BigInt(value) << BigInt(shift);
}

function trueMean({ weights, deltas }: Sample, i: number): number {
  const sum = deltas.reduce(
    (total, delta, k) => total + BigInt(weights[k]) * asInteger(delta[i]),
    0n,
  );
  const weight = BigInt(weights.reduce((a, b) => a + b, 0));
  // 64 bits below the leading one are kept, far more than a float64 has.
  const quotient = (sum << 64n) / weight;
  return Number(quotient) / 2 ** 64 / 2 ** FINEST;
}

function exactFold({ weights, deltas }: Sample): Float64Array {
  const scale = foldScale({ cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 });
  const sum = emptyContribution(SIZE);
  deltas.forEach((delta, k) => {
    foldTile(sum, 0, delta, weights[k], scale, referenceKernels);
    sum.weight += weightTerm(weights[k], scale);
    sum.count += 1;
  });
  return finishFold(sum, scale);
}

/** acc += (n_k / n) * x, rounded to float32 at every step: what most implementations do. */
function float32Mean({ weights, deltas }: Sample): Float32Array {
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = new Float32Array(SIZE);
  deltas.forEach((delta, k) => {
    const share = Math.fround(weights[k] / total);
    for (let i = 0; i < SIZE; i++) mean[i] = Math.fround(mean[i] + Math.fround(share * delta[i]));
  });
  return mean;
}

function float64Mean({ weights, deltas }: Sample): Float64Array {
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = new Float64Array(SIZE);
  deltas.forEach((delta, k) => {
    for (let i = 0; i < SIZE; i++) mean[i] += (weights[k] * delta[i]) / total;
  });
  return mean;
}

function worstError(truth: Float64Array, mean: ArrayLike<number>): string {
  let worst = 0;
  for (let i = 0; i < SIZE; i++) worst = Math.max(worst, Math.abs(mean[i] - truth[i]));
  return worst.toExponential(1);
}

const rows = [1, 0.01, 0.0001].map((magnitude) => {
  const sample = sampleOf(magnitude);
  const truth = Float64Array.from({ length: SIZE }, (_, i) => trueMean(sample, i));
  const largest = truth.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errors = [exactFold, float64Mean, float32Mean].map((mean) =>
    worstError(truth, mean(sample)),
  );
  return [String(magnitude), largest.toExponential(1), ...errors];
});
process.stdout.write(
  `${table(['|delta| around', 'largest mean', 'exact fold', 'float64 sum', 'float32 sum'], rows)}\n` +
    `worst absolute error of ${SIZE} coordinates, ${CLIENTS} updates, default caps\n`,
);
