/**
 * Krum. Blanchard, El Mhamdi, Guerraoui, Stainer: "Machine Learning with Adversaries: Byzantine
 * Tolerant Gradient Descent", NeurIPS 2017.
 *
 *     new = w + D_i for the i with the least sum of |D_i - D_j|^2
 *           over its n - f - 2 nearest neighbours j,   n >= 2f + 3
 *
 * Use it where up to f clients may send anything and the others' data are alike: what it takes is
 * one client's own update, so nothing that an attacker sends gets in unless it looks honest. The
 * paper claims it against noise and against the gradient turned round, which it was tried on.
 *
 * It breaks where clients differ much (one of them stands for all, and never the rare kind), and
 * against attackers that stay inside the spread of the honest ones: ALIE, IPM, Min-Max. It learns
 * slowly, because it throws away n - 1 updates of n: Multi-Krum keeps more. Beyond 2^28 products
 * (n^2 parameters) the Gram matrix is summed in float32, each product off by about 1e-7 |D_i| |D_j|:
 * rounding then ranks updates that are nearer to each other than a thousandth of their length.
 */
import { z } from 'zod';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { bestByKrum } from './robust/krum-score.js';

const byScore = combinationRule({
  name: 'krum',
  summary: 'The one update that is nearest to its nearest neighbours.',
  paper:
    'Blanchard et al., NeurIPS 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent"',
  options: z.strictObject({ attackers: attackersOption }),
  needs: {},
  async combine(x, { options }) {
    const { selected, diagnostics } = await bestByKrum(x, options.attackers, () => 1);
    const updates = x.updates.map((_, update) => (selected.includes(update) ? 1 : 0));
    return { coefficients: { model: 1, updates }, diagnostics };
  },
});

export const krum = withstanding(byScore, cohortOf({ perAttacker: 2, plus: 3 }));
