/**
 * Norm bounding at the median. Sun, Kairouz, Suresh, McMahan: "Can You Really Backdoor Federated
 * Learning?", 2019, with the median norm of the cohort as the bound.
 *
 *     new = w + mean_i [ D_i min(1, C / |D_i|) ],   C = median |D|
 *
 * Use it as `norm-bound`, where nobody can say beforehand how long an honest update is, or where it
 * changes from round to round. It breaks where half of the clients are attackers, for they choose C,
 * and against those that stay small. It must have all updates before it can fold any. Say `attackers`,
 * and rounds with n < 2f + 1 are refused.
 */
import { z } from 'zod';
import { boundDiagnostics, clip } from './clipping.js';
import { combinationRule } from './families/combination.js';
import { attackersIfSaid, cohortOf, withstanding } from './robust/attackers.js';
import { robustWeight, robustWeights } from './robust-weights.js';
import { medianOf } from './statistics.js';

const clipped = combinationRule({
  name: 'norm-bound-median',
  summary: "The mean of the updates, none longer than this round's median norm.",
  paper: 'Sun et al., 2019, "Can You Really Backdoor Federated Learning?"',
  options: z.strictObject({ attackers: attackersIfSaid(0.5), weights: robustWeights }),
  needs: {},
  combine({ updates }, { options }) {
    const bound = medianOf(updates.map(({ norm }) => norm));
    const whole = updates.map((facts) => robustWeight(facts, options));
    const total = whole.reduce((sum, weight) => sum + weight, 0);
    const coefficients = {
      model: 1,
      updates: updates.map((facts, i) => (whole[i] / total) * clip(facts.norm, bound)),
    };
    return { coefficients, diagnostics: boundDiagnostics(updates, bound) };
  },
});

export const normBoundMedian = withstanding(clipped, cohortOf({ perAttacker: 2, plus: 1 }));
