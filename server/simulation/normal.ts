/** The normal distribution: draws and quantiles that are the same on every machine (core/math.ts). */
import { log } from '../core/math.js';
import type { RandomStream } from '../core/random.js';

/** A draw from N(0, 1): Marsaglia's polar method. Its second value is not kept: no state. */
export function normal(random: RandomStream): number {
  for (;;) {
    const x = 2 * random.uniform() - 1;
    const y = 2 * random.uniform() - 1;
    const square = x * x + y * y;
    if (square > 0 && square < 1) return x * Math.sqrt((-2 * log(square)) / square);
  }
}

/** A quotient of two polynomials, lowest power first. */
interface Rational {
  readonly over: readonly number[];
  readonly under: readonly number[];
}

/** For |p - 1/2| <= .425, in .180625 - (p - 1/2)^2. */
const CENTRE: Rational = {
  over: [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946,
    45921.95393154987, 67265.7709270087, 33430.57558358813, 2509.0809287301227,
  ],
  under: [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597,
    39307.89580009271, 28729.085735721943, 5226.495278852854,
  ],
};

/** Beyond, in sqrt(-log(tail)) - 1.6. */
const TAIL: Rational = {
  over: [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045,
    1.2704582524523684, 0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  under: [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008,
    0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9,
  ],
};

/** Least probability that {@link normalQuantile} takes: e^-25. */
const LEAST = 1.3887943864964021e-11;

/**
 * Phi^-1(p): the z that a draw from N(0, 1) is below with probability p, to 1e-15 relative.
 * Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution".
 *
 * @throws RangeError where p or 1 - p is below e^-25: no cohort asks for that.
 */
export function normalQuantile(p: number): number {
  if (!(p >= LEAST && p <= 1 - LEAST)) throw new RangeError(`normalQuantile of ${p}`);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * valueAt(CENTRE, 0.180625 - q * q);
  const tail = Math.sqrt(-log(q < 0 ? p : 1 - p)) - 1.6;
  return q < 0 ? -valueAt(TAIL, tail) : valueAt(TAIL, tail);
}

function valueAt({ over, under }: Rational, x: number): number {
  return polynomial(over, x) / polynomial(under, x);
}

/** Horner's scheme. */
function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduceRight((sum, coefficient) => sum * x + coefficient, 0);
}
