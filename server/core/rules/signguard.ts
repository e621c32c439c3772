/**
 * SignGuard. Xu, Huang, Song, Lan: "Byzantine-robust Federated Learning through Collaborative
 * Malicious Gradient Filtering", ICDCS 2022.
 *
 *     new = w + mean over those that pass both filters of D_i min(1, M / |D_i|),   M = median |D_i|
 *
 * The first filter takes norms from `lower` to `upper` times M. The second clusters the updates by
 * their shares of positive, zero and negative coordinates and takes the largest cluster, found by
 * mean shift as the authors do (with windows that hold two updates at least, or in rounds of three
 * each would be a cluster of its own). They look at a tenth of the coordinates, drawn at random;
 * here all are counted in one pass, so there is nothing to draw. Where nobody passes both, the
 * model stays.
 *
 * Use it where attackers are fewer than half and may be long, short, or crafted: the number of
 * negative coordinates gives away what lengths and distances do not. The paper claims it against
 * noise, the gradient turned round, flipped labels, ALIE and Min-Max.
 *
 * It breaks where an update has as many positive coordinates as negative ones whoever made it (large
 * layers around zero): then turning it round changes no count.
 */
import { z } from 'zod';
import { clip } from './clipping.js';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { largestCluster } from './robust/mean-shift.js';
import { meanOver, selectionDiagnostics } from './robust/selection.js';
import { robustWeights } from './robust-weights.js';
import { medianOf } from './statistics.js';

const filtered = combinationRule({
  name: 'signguard',
  summary: 'Averages the updates of a usual norm and the usual shares of signs.',
  paper:
    'Xu et al., ICDCS 2022, "Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering"',
  options: z.strictObject({
    attackers: attackersOption,
    lower: z.number().nonnegative().max(1).default(0.1).describe('Least norm, in median norms.'),
    upper: z.number().min(1).default(3).describe('Greatest norm, in median norms.'),
    weights: robustWeights,
  }),
  needs: {},
  async combine(x, { options, layout }) {
    const norms = x.updates.map((update) => update.norm);
    const medianNorm = medianOf(norms);
    const { lower, upper } = options;
    const isUsual = norms.map((norm) => norm >= lower * medianNorm && norm <= upper * medianNorm);
    const size = Math.max(1, layout.size);
    const shares = (await x.signs()).map((counts) => counts.map((count) => count / size));
    const alike = largestCluster(shares);
    const selected = alike.filter((update) => isUsual[update]);
    const factor = (update: number): number => clip(norms[update], medianNorm);
    return {
      coefficients: meanOver(x.updates, selected, options, factor),
      diagnostics: {
        ...selectionDiagnostics(selected.length, norms.length),
        unusualNorm: isUsual.filter((usual) => !usual).length,
        unusualSigns: norms.length - alike.length,
        medianNorm,
      },
    };
  },
});

export const signguard = withstanding(filtered, cohortOf({ perAttacker: 2, plus: 1 }));
