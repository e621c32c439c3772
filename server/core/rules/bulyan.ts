/**
 * Bulyan. El Mhamdi, Guerraoui, Rouault: "The Hidden Vulnerability of Distributed Learning in
 * Byzantium", ICML 2018.
 *
 * theta = n - 2f updates are picked by Krum, one after the other, each among those that are left;
 * then, for every coordinate, the mean of the theta - 2f picked values that are nearest to their
 * median. n >= 4f + 3. With f = 0 it is the mean.
 *
 * The last picks are among fewer than the 2f + 3 updates that Krum asks for: their scores count as
 * few as one neighbour. Of two values equally far from the median, the lower one is kept.
 *
 * Use it where the model is large and an attacker could hide a great change of one coordinate inside
 * an ordinary distance: that is what it closes in Krum. What Krum's paper claims (noise, the gradient
 * turned round) it keeps.
 *
 * It breaks with more than a quarter of attackers, which it refuses, and where clients differ much:
 * only n - 4f values of n count for any coordinate. ALIE was made to pass it. A share of attackers
 * is more of some rounds than they can bear: at 0.2, seven updates are enough, and of ten two may
 * be attackers, for which eleven are. Give a whole number where cohorts vary.
 */
import { z } from 'zod';
import type { RankWindow } from '../kernels/kernels.js';
import { coordinateRule } from './families/coordinate.js';
import { gathering, inClientOrder } from './families/order.js';
import { openWorkspace } from './families/workspace.js';
import { assumedAttackers, attackersBelow, cohortOf, withstanding } from './robust/attackers.js';
import type { Products } from './robust/geometry.js';
import { productsOf, squaredDistances } from './robust/geometry.js';
import { krumScore } from './robust/krum-score.js';
import { selectionDiagnostics } from './robust/selection.js';
import type { AggregationRule, UpdateReader } from './rule.js';

const options = z.strictObject({ attackers: attackersBelow(0.25) });
type Options = z.infer<typeof options>;

const twoSteps: AggregationRule<Options, UpdateReader[]> = {
  name: 'bulyan',
  summary: 'Picks updates as Krum does, then averages around the median of each coordinate.',
  paper:
    'El Mhamdi et al., ICML 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium"',
  options,
  family: 'general',
  needs: {},
  minUpdates: () => 1,
  ...gathering,
  async finish(acc, ctx) {
    const updates = inClientOrder(acc, 'bulyan', 1);
    const { x } = openWorkspace('bulyan', {}, updates, ctx);
    const f = assumedAttackers(ctx.options.attackers, updates.length);
    const distances = squaredDistances(await productsOf(x));
    const picked = pickedByKrum(distances, f).map((update) => updates[update]);
    const averaged = picked.length - 2 * f;
    const outcome = await aroundMedian.finish(picked, { ...ctx, options: { averaged } });
    const nothing = updates.map(({ clientId }) => [clientId, 0] as const);
    return {
      ...outcome,
      weights: { ...Object.fromEntries(nothing), ...outcome.weights },
      diagnostics: {
        attackers: f,
        ...selectionDiagnostics(picked.length, updates.length),
        averaged,
      },
    };
  },
};

/** n - 2f updates in the order in which Krum picks them, each among those that are left. */
function pickedByKrum(distances: Products, f: number): readonly number[] {
  const score = krumScore(distances);
  const isThere = new Uint8Array(distances.length).fill(1);
  const picked: number[] = [];
  for (let left = distances.length; left > 2 * f; left--) {
    const neighbours = Math.max(1, left - f - 2);
    let [best, least] = [-1, Infinity];
    for (let update = 0; update < isThere.length; update++) {
      if (isThere[update] === 0) continue;
      const own = score(update, isThere, neighbours);
      if (best < 0 || own < least) [best, least] = [update, own];
    }
    isThere[best] = 0;
    picked.push(best);
  }
  return picked;
}

/** The mean, for every coordinate, of the values that are nearest to the median. */
const aroundMedian = coordinateRule<{ readonly averaged: number }>({
  name: 'bulyan',
  paper: '',
  options: z.strictObject({ averaged: z.int().positive() }),
  statistic: ({ values }, { averaged }) => nearestToMedian(values, averaged),
});

/** Sorted values near a point stand side by side: the outermost one further away goes first. */
export function nearestToMedian(values: Float64Array, count: number): RankWindow {
  const half = values.length >> 1;
  const median = values.length % 2 === 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  let [from, to] = [0, values.length];
  while (to - from > count) {
    if (median - values[from] > values[to - 1] - median) from += 1;
    else to -= 1;
  }
  return { from, to };
}

export const bulyan = withstanding(twoSteps, cohortOf({ perAttacker: 4, plus: 3 }));
