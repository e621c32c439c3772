/**
 * FedDA. Jiang, Zhang, Wang, Koyejo: "Principled Federated Domain Adaptation: Gradient Projection
 * and Auto-Weighting", ICLR 2024.
 *
 *     new = w + mean_i [ (1 - b_i) D_T + b_i D_i ]
 *
 * over the sources i, T the one target client. (The published code applies only the last source's
 * 1 - b to D_T; this is the sum that the paper writes.)
 *
 * Use it where one client with few examples is what counts, and the others have much data from
 * another domain. It breaks where sources are far off: with a fixed beta they pull the target away
 * as much as near ones, and with `auto` the target must send its batch updates. `align:
 * learningRate` and `auto` believe the rates that clients report, up to a thousand times each other's
 * (`ratesHeld`), so use them only among sites you trust.
 */
import { z } from 'zod';
import {
  adaptationNeeded,
  adaptationNeeds,
  sourceDiagnostics,
  pulled,
  sourceOptions,
  sourcesOf,
} from './adaptation/sources.js';
import { combinationRule } from './families/combination.js';

export const fedda = combinationRule({
  name: 'fedda',
  summary: "Mixes the target's update with each source's, by a fixed or estimated beta.",
  paper:
    'Jiang et al., ICLR 2024, "Principled Federated Domain Adaptation: Gradient Projection and Auto-Weighting"',
  options: z.strictObject(sourceOptions),
  needs: adaptationNeeds,
  needed: (options) => adaptationNeeded(options),
  minUpdates: () => 2,
  async combine(x, { options, layout }) {
    const sources = await sourcesOf(x, options, layout.size, ({ da }) => da);
    return {
      coefficients: pulled(x, sources, ({ share, beta, scale }) => share * beta * scale),
      diagnostics: sourceDiagnostics(sources, options),
    };
  },
});
