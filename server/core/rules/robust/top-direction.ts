/** The direction in which the updates differ most, in Gram space. */
import { randomStream } from '../../random.js';
import type { Products } from './geometry.js';

const STEPS_MAX = 1000;
const STILL = 1e-10;

export interface TopDirection {
  /** <D_i - mean, v>^2 for v the top singular vector, of every update that was asked for. */
  readonly scores: readonly number[];
  /** The share of all the variance that lies in it. */
  readonly share: number;
}

/** @param among places of the updates that count: their mean is the centre */
export function topDirection(products: Products, among: readonly number[]): TopDirection {
  const centred = centredProducts(products, among);
  const trace = centred.reduce((sum, row, i) => sum + row[i], 0);
  // Nobody differs from the mean: there is no direction, and none may be made of rounding errors.
  if (!(trace > 0)) return { scores: among.map(() => 0), share: 0 };
  const { vector, value } = topEigenvector(centred);
  // D = U S V': the centred updates lie along v at S U, and |S| is the root of the eigenvalue.
  return { scores: Array.from(vector, (u) => value * u * u), share: value / trace };
}

/** <D_i - mean, D_j - mean>. */
function centredProducts(products: Products, among: readonly number[]): Products {
  const rows = among.map((i) => Float64Array.from(among, (j) => products[i][j]));
  const means = rows.map((row) => row.reduce((sum, x) => sum + x, 0) / row.length);
  const mean = means.reduce((sum, x) => sum + x, 0) / means.length;
  return rows.map((row, i) => row.map((x, j) => x - means[i] - means[j] + mean));
}

/**
 * By power iteration, from a start that is drawn once and for all: any fixed pattern would be
 * orthogonal to the direction of some cohort.
 */
function topEigenvector(matrix: Products): { vector: Float64Array; value: number } {
  const random = randomStream('top direction');
  let vector = scaledTo1(Float64Array.from(matrix, () => random.uniform() - 0.5));
  for (let step = 0; step < STEPS_MAX; step++) {
    const next = scaledTo1(times(matrix, vector));
    const moved = next.reduce((most, x, i) => Math.max(most, Math.abs(x - vector[i])), 0);
    vector = next;
    if (moved <= STILL) break;
  }
  const along = times(matrix, vector);
  return { vector, value: vector.reduce((sum, x, i) => sum + x * along[i], 0) };
}

function times(matrix: Products, vector: Float64Array): Float64Array {
  const result = new Float64Array(matrix.length);
  for (let i = 0; i < matrix.length; i++) {
    const row = matrix[i];
    let sum = 0;
    for (let j = 0; j < row.length; j++) sum += row[j] * vector[j];
    result[i] = sum;
  }
  return result;
}

function scaledTo1(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return length > 0 ? vector.map((x) => x / length) : vector;
}
