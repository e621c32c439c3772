/**
 * Multi-Krum. Blanchard, El Mhamdi, Guerraoui, Stainer: "Machine Learning with Adversaries:
 * Byzantine Tolerant Gradient Descent", NeurIPS 2017.
 *
 *     new = w + mean of the m updates with the lowest Krum scores,   m = n - f,   n >= 2f + 3
 *
 * With m = n it is the mean; with m = 1 it is Krum.
 *
 * Use it where up to f clients may send anything and the others' data are alike: it costs hardly
 * more than Krum and learns nearly as fast as the mean. The paper claims it against noise and
 * against the gradient turned round.
 *
 * It breaks where clients differ much, since the f that stand most apart are dropped in every round
 * whether anybody attacks or not, and against attackers inside the spread of the honest ones (ALIE,
 * IPM, Min-Max). `select` above n - f lets attackers in.
 */
import { z } from 'zod';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { bestByKrum } from './robust/krum-score.js';
import { meanOver } from './robust/selection.js';
import { robustWeights } from './robust-weights.js';

const byScore = combinationRule({
  name: 'multi-krum',
  summary: 'The mean of the updates that are nearest to their nearest neighbours.',
  paper:
    'Blanchard et al., NeurIPS 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent"',
  options: z.strictObject({
    attackers: attackersOption,
    select: z
      .int()
      .positive()
      .optional()
      .describe('m, how many updates are averaged; by default n - f.'),
    weights: robustWeights,
  }),
  needs: {},
  minUpdates: ({ select = 1 }) => select,
  async combine(x, { options }) {
    const best = await bestByKrum(x, options.attackers, (n, f) => options.select ?? n - f);
    const coefficients = meanOver(x.updates, best.selected, options);
    return { coefficients, diagnostics: best.diagnostics };
  },
});

export const multiKrum = withstanding(byScore, cohortOf({ perAttacker: 2, plus: 3 }));
