/**
 * FedGP. Jiang, Zhang, Wang, Koyejo: "Principled Federated Domain Adaptation: Gradient Projection
 * and Auto-Weighting", ICLR 2024.
 *
 *     new = w + mean_i [ (1 - b_i) D_T + b_i max(<D_T, D_i>, 0) D_i / |D_i|^2 ]
 *
 * over the sources i, T the one target client: a source only lends its direction, as far as the
 * target goes along it. The paper's experiments project tensor by tensor, which is the default.
 * Scaling a source's update changes nothing, so neither does `align`.
 *
 * Use it like FedDA, where sources may be far from the target: it is the more robust of the two. It
 * breaks where the target's own update is mostly noise, since nothing enters that does not lie
 * along it. Hazard of `beta: auto`: a source that is opposed to the target gets b_GP = 1 while its
 * projection is dropped, so the update vanishes; `betaRule: thresholded` avoids that.
 */
import { z } from 'zod';
import type { AdaptationWorkspace } from './adaptation/sources.js';
import {
  adaptationNeeded,
  adaptationNeeds,
  sourceDiagnostics,
  pulled,
  sourceOptions,
  sourcesOf,
} from './adaptation/sources.js';
import { combinationRule } from './families/combination.js';
import type { Gram } from './families/gram.js';

const options = z.strictObject({
  ...sourceOptions,
  betaRule: z
    .enum(['gp', 'thresholded'])
    .default('gp')
    .describe('Which estimate beta: auto takes; thresholded holds opposed sources down.'),
});

export const fedgp = combinationRule({
  name: 'fedgp',
  summary: "Takes of each source only what points along the target's update.",
  paper:
    'Jiang et al., ICLR 2024, "Principled Federated Domain Adaptation: Gradient Projection and Auto-Weighting"',
  options,
  needs: adaptationNeeds,
  needed: (o) => adaptationNeeded(o),
  minUpdates: () => 2,
  async combine(x, { options: o, layout }) {
    const sources = await sourcesOf(x, o, layout.size, (estimate) => estimate[o.betaRule]);
    const grams = await x.gram(
      o.granularity,
      x.updates.map((_, update) => ({ update })),
    );
    const coefficients = pulled(x, sources, ({ update, share, beta }) => {
      const along = grams.map((gram) => share * beta * projection(gram, x, update));
      return o.granularity === 'model' ? along[0] : along;
    });
    return { coefficients, diagnostics: sourceDiagnostics(sources, o) };
  },
});

/** How much of a source's update the target goes along it: max(<D_T, D_i>, 0) / |D_i|^2. */
function projection(gram: Gram<'delta'>, { target }: AdaptationWorkspace, update: number): number {
  const squared = gram.dot({ update }, { update });
  // A source that did not move in this tensor lends no direction; 0/0 would poison the model.
  if (squared === 0) return 0;
  return Math.max(gram.dot({ update: target }, { update }), 0) / squared;
}
