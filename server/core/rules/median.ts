/**
 * Coordinate-wise median. Yin, Chen, Ramchandran, Bartlett: "Byzantine-Robust Distributed Learning:
 * Towards Optimal Statistical Rates", ICML 2018.
 *
 * For an even number of clients, the mean of the two in the middle. With `weights: examples` the
 * weighted median: the value at which half of all examples is reached, and the mean of it and the
 * next where it is reached exactly.
 *
 * Use it where fewer than half of the clients may send anything at all, n >= 2f + 1. The paper
 * claims an optimal error against any of them for independent data, and tried flipped labels. It
 * breaks where honest clients differ much: what only a minority knows (a rare class) is voted down
 * in every coordinate, and attackers inside that spread (ALIE) pass.
 */
import { z } from 'zod';
import { coordinateRule } from './families/coordinate.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { robustWeight, robustWeights } from './robust-weights.js';

const byCoordinate = coordinateRule({
  name: 'median',
  summary: 'The median of every coordinate.',
  paper:
    'Yin et al., ICML 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates"',
  options: z.strictObject({ attackers: attackersOption, weights: robustWeights }),
  weigh: (facts, options) => robustWeight(facts, options),
  window: (count, { weights }) =>
    weights === 'uniform'
      ? { from: Math.ceil(count / 2) - 1, to: Math.floor(count / 2) + 1 }
      : null,
  statistic({ weights }) {
    const half = weights.reduce((sum, weight) => sum + weight, 0) / 2;
    let rank = 0;
    let reached = weights[0];
    while (reached < half) reached += weights[++rank];
    return { from: rank, to: reached === half ? rank + 2 : rank + 1 };
  },
});

export const median = withstanding(byCoordinate, cohortOf({ perAttacker: 2, plus: 1 }));
