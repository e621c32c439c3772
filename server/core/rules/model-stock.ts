/**
 * Model Stock. Jang, Yun, Han: "Model Stock: All We Need Is Just a Few Fine-Tuned Models", ECCV 2024.
 *
 *     new = w + t mean_i D_i,   t = N c / (1 + (N - 1) c)
 *
 * tensor by tensor, c the mean cosine between two of the N updates: what updates share is signal,
 * what they do not is noise around the centre that t goes back from. Equal updates give t = 1, those
 * at right angles 0. A negative c, which the paper does not meet, counts as 0; a single update is
 * taken whole.
 *
 * Use it to merge a few fine-tuned models of one base without any data, and for clients that train
 * long from the same start. It breaks with many clients on unlike data: cosines near 0 mean hardly a
 * step, and with noise that all share it has nothing to tell it from signal.
 */
import { z } from 'zod';
import { meanCoefficient } from './families/coefficients.js';
import { combinationRule } from './families/combination.js';
import type { Gram } from './families/gram.js';
import { cosines, coherence } from './fedlaw/analytics.js';

const options = z.strictObject({
  granularity: z
    .enum(['tensor', 'model'])
    .default('tensor')
    .describe('Whether t is found tensor by tensor, as in the paper, or once.'),
});

export const modelStock = combinationRule({
  name: 'model-stock',
  summary: "Steps along the mean as far as the updates' angles say that it is signal.",
  paper: 'Jang et al., ECCV 2024, "Model Stock: All We Need Is Just a Few Fine-Tuned Models"',
  options,
  needs: {},
  async combine(x, { options: { granularity }, layout }) {
    const N = x.updates.length;
    const grams = await x.gram(granularity);
    const angles = grams.map((gram) => meanCosine(gram, N));
    const steps = angles.map((c) => ratio(c, N));
    const share = steps.map((t) => t / N);
    const overall = (values: readonly number[]): number =>
      granularity === 'model' ? values[0] : meanCoefficient(values, layout);
    return {
      coefficients: {
        model: 1,
        updates: x.updates.map(() => (granularity === 'model' ? share[0] : share)),
      },
      diagnostics: { cosine: overall(angles), ratio: overall(steps) },
    };
  },
});

/** The mean cosine between two different updates; 0 with one that did not move. */
function meanCosine(gram: Gram<'delta'>, count: number): number {
  return coherence(cosines(gram, count)) ?? 1;
}

/** How much of the mean is taken: 0 to 1. */
function ratio(cosine: number, N: number): number {
  const c = Math.max(0, cosine);
  return (N * c) / (1 + (N - 1) * c);
}
