/**
 * Divide and Conquer (DnC). Shejwalkar, Houmansadr: "Manipulating the Byzantine: Optimizing Model
 * Poisoning Attacks and Defenses for Federated Learning", NDSS 2021.
 *
 *     new = w + mean without the c f largest scores,   s_i = <D_i - mean, v>^2
 *
 * v the top right singular vector of the centred updates. The paper finds it on random thousands of
 * coordinates because it could not hold all; here it comes from the Gram matrix of all of them, so
 * one pass sees everything. With more `iterations` the c f are dropped bit by bit, centre and
 * direction anew each time: a large outlier hides a small one only until it is gone.
 *
 * Use it where crafted attacks must be met and f is known: attackers that agree move the mean along
 * one direction, and that one shows. The paper claims it against its own Min-Max and against ALIE.
 *
 * It breaks where honest clients differ more among themselves than attackers from them: the top
 * direction is then theirs, and the c f rarest are dropped. With one iteration it also breaks where
 * attackers go different ways: the longest one makes the direction, and the others do not show in it.
 */
import { z } from 'zod';
import { combinationRule } from './families/combination.js';
import {
  assumedAttackers,
  attackersOption,
  cohortOf,
  floorOfShare,
  withstanding,
} from './robust/attackers.js';
import type { Products } from './robust/geometry.js';
import { productsOf } from './robust/geometry.js';
import { lowest, meanOver, scoreDiagnostics, selectionDiagnostics } from './robust/selection.js';
import { topDirection } from './robust/top-direction.js';
import { robustWeights } from './robust-weights.js';

const spectral = combinationRule({
  name: 'dnc',
  summary: 'The mean without the updates that stand out in the top singular direction.',
  paper:
    'Shejwalkar, Houmansadr, NDSS 2021, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated Learning"',
  options: z.strictObject({
    attackers: attackersOption,
    c: z.number().positive().max(2).default(1).describe('c f updates are dropped.'),
    iterations: z
      .int()
      .positive()
      .default(1)
      .describe('In how many goes they are dropped, each with a direction of its own.'),
    weights: robustWeights,
  }),
  needs: {},
  async combine(x, { options }) {
    const products = await productsOf(x);
    const f = assumedAttackers(options.attackers, x.updates.length);
    const toDrop = floorOfShare(options.c, f);
    const { selected, scores, share } = filtered(products, toDrop, options.iterations);
    return {
      coefficients: meanOver(x.updates, selected, options),
      diagnostics: {
        attackers: f,
        ...selectionDiagnostics(selected.length, x.updates.length),
        ...scoreDiagnostics(scores),
        topShare: share,
      },
    };
  },
});

interface Filtered {
  readonly selected: readonly number[];
  /** Of the first go, when all were there. */
  readonly scores: readonly number[];
  readonly share: number;
}

/** Those that are left when `toDrop` were dropped, as evenly as may be over the iterations. */
function filtered(products: Products, toDrop: number, iterations: number): Filtered {
  const everybody = products.map((_, update) => update);
  const { scores, share } = topDirection(products, everybody);
  const goes = Math.max(1, Math.min(iterations, toDrop));
  let selected = everybody;
  for (let go = 1; go <= goes; go++) {
    const left = products.length - Math.floor((go * toDrop) / goes);
    const now = go === 1 ? scores : topDirection(products, selected).scores;
    selected = lowest(now, left).map((place) => selected[place]);
  }
  return { selected, scores, share };
}

export const dnc = withstanding(spectral, cohortOf({ perAttacker: 2, plus: 1 }));
