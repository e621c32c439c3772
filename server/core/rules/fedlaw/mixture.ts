/** The two parametrisations of FedLAW's gamma and lambda, and the gradient in them. */
import { exp, log } from '../../math.js';

/** new = gamma * sum_i lambda_i w_i, the lambdas not negative and of sum 1. */
export interface Mixture {
  readonly gamma: number;
  readonly lambda: readonly number[];
}

/** What the oracle's gradient G at the mixed model says: <G, w> and <G, D_i>. */
export interface Slopes {
  readonly model: number;
  readonly updates: readonly number[];
}

/** A point is x_1 … x_K for the lambdas and then g for gamma, free of constraints. */
export interface Parametrisation {
  start(mixture: Mixture): Float64Array;
  mixture(point: Float64Array): Mixture;
  gradient(point: Float64Array, slopes: Slopes): Float64Array;
  /** g, or the g nearest to it whose gamma is at most `gammaMax`. */
  limited(g: number, gammaMax: number): number;
}

/** <G, w_i> - sum_k lambda_k <G, w_k>: <G, w> cancels, so it never gets in and costs digits. */
function relativeSlopes(
  lambda: readonly number[],
  { updates }: Slopes,
): { mean: number; relative: number[] } {
  const mean = lambda.reduce((sum, l, i) => sum + l * updates[i], 0);
  return { mean, relative: updates.map((slope) => slope - mean) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function split(point: Float64Array): { readonly x: readonly number[]; readonly g: number } {
  return { x: Array.from(point.subarray(0, -1)), g: point[point.length - 1] };
}

function softmax(x: readonly number[]): number[] {
  const top = Math.max(...x);
  const raised = x.map((value) => exp(value - top));
  const total = sum(raised);
  return raised.map((value) => value / total);
}

/** lambda = softmax(x), gamma = e^g. */
const exponential: Parametrisation = {
  start: ({ gamma, lambda }) => Float64Array.from([...lambda.map(log), log(gamma)]),
  mixture(point) {
    const { x, g } = split(point);
    return { gamma: exp(g), lambda: softmax(x) };
  },
  gradient(point, slopes) {
    const { x, g } = split(point);
    const gamma = exp(g);
    const lambda = softmax(x);
    const { mean, relative } = relativeSlopes(lambda, slopes);
    const inX = relative.map((slope, i) => gamma * lambda[i] * slope);
    return Float64Array.from([...inX, gamma * (slopes.model + mean)]);
  },
  limited: (g, gammaMax) => Math.min(g, log(gammaMax)),
};

/** lambda_i = x_i^2 / sum x^2, gamma = g^2. */
const quadratic: Parametrisation = {
  start: ({ gamma, lambda }) => Float64Array.from([...lambda, gamma].map(Math.sqrt)),
  mixture(point) {
    const { x, g } = split(point);
    const squares = x.map((value) => value * value);
    const total = sum(squares);
    return { gamma: g * g, lambda: squares.map((square) => square / total) };
  },
  gradient(point, slopes) {
    const { x, g } = split(point);
    const squares = x.map((value) => value * value);
    const total = sum(squares);
    const lambda = squares.map((square) => square / total);
    const { mean, relative } = relativeSlopes(lambda, slopes);
    const inX = relative.map((slope, i) => ((2 * x[i]) / total) * g * g * slope);
    return Float64Array.from([...inX, 2 * g * (slopes.model + mean)]);
  },
  limited(g, gammaMax) {
    const highest = Math.sqrt(gammaMax);
    return Math.max(-highest, Math.min(highest, g));
  },
};

export const parametrisations = { exp: exponential, quad: quadratic };
