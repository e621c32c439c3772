/**
 * Centered clipping. Karimireddy, He, Jaggi: "Learning from History for Byzantine Robust
 * Optimization", ICML 2021.
 *
 *     new = w + v,   v from 0, `iterations` times:
 *     v <- v + sum_i p_i (D_i - v) min(1, tau / |D_i - v|)
 *
 * so nobody moves v by more than p_i tau in one iteration. It starts at the old model, where the paper
 * starts at the step before: an update has no momentum in it that would make that a good guess. So the
 * one iteration of the paper, which is the default, is the mean of clipped updates, and more of them
 * find the centre: with a fifth of the updates turned round and tau the median, 3 instead of 1 bring
 * the error of the step from 40% down to 11% of its length. With a tau that clips nobody they change
 * nothing.
 *
 * Use it where clients may send anything, best with momentum at the clients. The paper claims it
 * against the gradient turned round, flipped labels, ALIE and IPM.
 *
 * It breaks where tau does not fit: the paper's 10 is far above the honest updates of a small model,
 * which every attacker may then move by 10 / n, and far below those of a large one, which then learns
 * slowly. `tau: median` takes the median distance to v, which fewer than half of the clients cannot
 * choose: it fits by itself.
 */
import { z } from 'zod';
import { clip } from './clipping.js';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import type { Products } from './robust/geometry.js';
import { distancesFrom, productsOf } from './robust/geometry.js';
import { sharesOf } from './robust/selection.js';
import { robustWeights } from './robust-weights.js';
import { medianOf } from './statistics.js';

const options = z.strictObject({
  attackers: attackersOption,
  tau: z
    .union([z.number().positive(), z.literal('median')], 'use a positive number, or "median"')
    .default(10)
    .describe('Distance from the centre beyond which an update is clipped; median: of the round.'),
  iterations: z.int().positive().max(1000).default(1),
  weights: robustWeights,
});
type Options = z.infer<typeof options>;

const clipped = combinationRule({
  name: 'centered-clipping',
  summary: 'The mean of the updates, each clipped in its distance from the centre.',
  paper: 'Karimireddy et al., ICML 2021, "Learning from History for Byzantine Robust Optimization"',
  options,
  needs: {},
  async combine(x, ctx) {
    const products = await productsOf(x);
    const shares = sharesOf(x.updates, ctx.options);
    let centre: Centre = { coefficients: shares.map(() => 0), diagnostics: {} };
    for (let i = 0; i < ctx.options.iterations; i++) {
      centre = recentred(centre.coefficients, shares, products, ctx.options);
    }
    const { coefficients, diagnostics } = centre;
    return { coefficients: { model: 1, updates: coefficients }, diagnostics };
  },
});

interface Centre {
  readonly coefficients: readonly number[];
  readonly diagnostics: Readonly<Record<string, number>>;
}

function recentred(
  from: readonly number[],
  shares: readonly number[],
  products: Products,
  { tau }: Options,
): Centre {
  const distances = distancesFrom(from, products);
  const medianDistance = medianOf(distances);
  const most = tau === 'median' ? medianDistance : tau;
  const steps = shares.map((share, i) => share * clip(distances[i], most));
  const moved = steps.reduce((sum, step) => sum + step, 0);
  const clippedShare = distances.filter((distance) => distance > most).length / distances.length;
  return {
    coefficients: from.map((coefficient, i) => coefficient * (1 - moved) + steps[i]),
    diagnostics: { tau: most, medianDistance, clippedShare },
  };
}

export const centeredClipping = withstanding(clipped, cohortOf({ perAttacker: 2, plus: 1 }));
