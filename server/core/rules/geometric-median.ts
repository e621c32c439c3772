/**
 * Geometric median (RFA). Pillutla, Kakade, Harchaoui: "Robust Aggregation for Federated Learning",
 * arXiv 2019, IEEE Transactions on Signal Processing 2022.
 *
 *     new = w + v,   v the point with the least sum of p_i |D_i - v|
 *
 * by the smoothed Weiszfeld algorithm: from the mean, `iterations` times
 * v <- sum_i b_i D_i / sum_i b_i with b_i = p_i / max(epsilon, |D_i - v|).
 *
 * Use it where up to a half of the clients may be corrupted and f is not known: nobody is dropped,
 * and who stands far off counts little. The paper claims it against noise, against updates that turn
 * the mean round, and against flipped labels.
 *
 * It breaks against attackers that agree on a point near the honest ones (ALIE, IPM), and where
 * attackers are both many and far: four iterations from the mean bring a fifth of the clients at one
 * distance R down to about 1e-10 R, two fifths only to 1e-3 R, and at distances of several orders of
 * magnitude the nearer ones hide behind the furthest. More `iterations` mend that. Beyond 2^28
 * products (n^2 parameters) the Gram matrix is summed in float32, each product off by about
 * 1e-7 |D_i| |D_j|: distances below a thousandth of the updates' length are then mostly rounding.
 */
import { z } from 'zod';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { distancesFrom, productsOf } from './robust/geometry.js';
import { sharesOf } from './robust/selection.js';
import { robustWeights } from './robust-weights.js';

const weiszfeld = combinationRule({
  name: 'geometric-median',
  summary: 'The point with the least sum of distances to all updates (RFA).',
  paper:
    'Pillutla et al., IEEE Transactions on Signal Processing 2022, "Robust Aggregation for Federated Learning"',
  options: z.strictObject({
    attackers: attackersOption,
    iterations: z.int().positive().max(1000).default(4),
    epsilon: z
      .number()
      .positive()
      .default(1e-5)
      .describe('Smaller distances count as this one, or the nearest update would count alone.'),
    weights: robustWeights,
  }),
  needs: {},
  async combine(x, { options }) {
    const products = await productsOf(x);
    const shares = sharesOf(x.updates, options);
    let coefficients = shares;
    for (let i = 0; i < options.iterations; i++) {
      const distances = distancesFrom(coefficients, products);
      coefficients = nearer(shares, distances, options.epsilon);
    }
    const distances = distancesFrom(coefficients, products);
    return {
      coefficients: { model: 1, updates: coefficients },
      diagnostics: {
        meanDistance: shares.reduce((sum, share, i) => sum + share * distances[i], 0),
        weightLeast: Math.min(...coefficients),
        weightMost: Math.max(...coefficients),
      },
    };
  },
});

/** Shares over distances, of sum 1. */
function nearer(shares: readonly number[], distances: readonly number[], least: number): number[] {
  const pulls = shares.map((share, i) => share / Math.max(least, distances[i]));
  const total = pulls.reduce((sum, pull) => sum + pull, 0);
  return pulls.map((pull) => pull / total);
}

export const geometricMedian = withstanding(weiszfeld, cohortOf({ perAttacker: 2, plus: 1 }));
