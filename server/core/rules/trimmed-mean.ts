/**
 * Coordinate-wise trimmed mean. Yin, Chen, Ramchandran, Bartlett: "Byzantine-Robust Distributed
 * Learning: Towards Optimal Statistical Rates", ICML 2018.
 *
 * Of the K values of a coordinate, the floor(beta * K) smallest and as many of the largest are
 * dropped; the rest is averaged.
 *
 * Use it where at most a share `beta` of the clients may send anything at all: it wastes less of
 * the honest ones than the median. The paper claims it against any of them for independent data, and
 * tried flipped labels. Say `attackers` too, and it refuses rounds in which it would trim fewer than
 * that. It breaks with more attackers than it trims, and for few clients: floor(0.2 * 4) = 0 trims
 * nobody.
 */
import { z } from 'zod';
import type { RankWindow } from '../kernels/kernels.js';
import { coordinateRule } from './families/coordinate.js';
import { assumedAttackers, attackerCount, floorOfShare, withstanding } from './robust/attackers.js';
import { robustWeight, robustWeights } from './robust-weights.js';

const options = z
  .strictObject({
    beta: z
      .number()
      .min(0)
      .lt(0.5)
      .default(0.2)
      .describe('Share of the clients that is dropped at each end.'),
    attackers: attackerCount()
      .optional()
      .describe('How many are assumed, whole or as a share; by default as many as are trimmed.'),
    weights: robustWeights,
  })
  .refine(canTrim, {
    path: ['attackers'],
    message: 'more than beta, the share that is trimmed: raise beta to it',
  });

/** A share of attackers up to beta, or some of them in a round that is large enough. */
function canTrim({
  beta,
  attackers = 0,
}: {
  beta: number;
  attackers?: number | undefined;
}): boolean {
  return Number.isInteger(attackers) ? attackers === 0 || beta > 0 : attackers <= beta;
}

const trimmed = coordinateRule({
  name: 'trimmed-mean',
  summary: 'The mean of every coordinate without its extremes.',
  paper:
    'Yin et al., ICML 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates"',
  options,
  weigh: (facts, options) => robustWeight(facts, options),
  weightedMean: true,
  window: (count, { beta, weights }) => (weights === 'uniform' ? untrimmed(count, beta) : null),
  statistic: ({ values }, { beta }) => untrimmed(values.length, beta),
});

function untrimmed(count: number, beta: number): RankWindow {
  // Below a half of them, whatever the allowance for rounding makes of a beta just under 0.5.
  const dropped = Math.min(floorOfShare(beta, count), (count - 1) >> 1);
  return { from: dropped, to: count - dropped };
}

export const trimmedMean = withstanding(trimmed, {
  isEnough: (n, { attackers = 0, beta }) => floorOfShare(beta, n) >= assumedAttackers(attackers, n),
  condition: 'floor(beta * n) >= f',
});
