/**
 * Coordinate-wise trimmed mean. Yin, Chen, Ramchandran, Bartlett: "Byzantine-Robust Distributed
 * Learning: Towards Optimal Statistical Rates", ICML 2018.
 *
 * Of the K values of a coordinate, the floor(beta * K) smallest and as many of the largest are
 * dropped; the rest is averaged.
 *
 * Use it where at most a share `beta` of the clients may send anything at all: it wastes less of
 * the honest ones than the median. It breaks with more attackers than that, and for few clients:
 * floor(0.2 * 4) = 0 trims nobody.
 */
import { z } from 'zod';
import { coordinateRule } from './families/coordinate.js';
import { robustWeight, robustWeights } from './robust-weights.js';

export const trimmedMean = coordinateRule({
  name: 'trimmed-mean',
  paper:
    'Yin et al., ICML 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates"',
  options: z.strictObject({
    beta: z
      .number()
      .min(0)
      .lt(0.5)
      .default(0.2)
      .describe('Share of the clients that is dropped at each end.'),
    weights: robustWeights,
  }),
  weigh: (facts, options) => robustWeight(facts, options),
  weightedMean: true,
  statistic({ values }, { beta }) {
    const dropped = Math.floor(beta * values.length);
    return { from: dropped, to: values.length - dropped };
  },
});
