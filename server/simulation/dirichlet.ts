/** Draws from the Dirichlet distribution, the same on every machine: see core/math.ts. */
import { TributaryError } from '../../protocol/errors.js';
import { exp, log } from '../core/math.js';
import type { RandomStream } from '../core/random.js';
import { normal } from './normal.js';

/**
 * One draw from the symmetric Dirichlet(alpha) over `count` shares that sum to 1.
 *
 * Independent Gamma(alpha) draws over their sum. They are kept as logarithms: at alpha .01 nearly
 * all of them are below the smallest double, and shares of 0 / 0 would deal every class to nobody.
 *
 * @throws TributaryError `bad_request` where alpha is not a positive number.
 */
export function dirichlet(count: number, alpha: number, random: RandomStream): number[] {
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new TributaryError('bad_request', `alpha: ${alpha} is not a positive number`);
  }
  const logs = Array.from({ length: count }, () => logGamma(alpha, random));
  const greatest = Math.max(...logs);
  const weights = logs.map((value) => exp(value - greatest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * Logarithm of a draw from Gamma(shape, 1): Marsaglia and Tsang 2000, "A Simple Method for
 * Generating Gamma Variables". It works for shapes of 1 and more; below, a draw of
 * Gamma(shape + 1) times U^(1/shape) has the right distribution (their section 6).
 */
function logGamma(shape: number, random: RandomStream): number {
  if (shape < 1) return logGamma(shape + 1, random) + log(positiveUniform(random)) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const root = 1 + c * x;
    if (root <= 0) continue;
    const v = root * root * root;
    if (log(positiveUniform(random)) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v);
  }
}

/** In (0, 1]: its logarithm is finite. */
function positiveUniform(random: RandomStream): number {
  return 1 - random.uniform();
}
