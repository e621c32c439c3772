/**
 * Uniform soup. Wortsman, Ilharco, Gadre, Roelofs, Gontijo-Lopes, Morcos, Namkoong, Farhadi, Carmon,
 * Kornblith, Schmidt: "Model soups: averaging weights of multiple fine-tuned models improves accuracy
 * without increasing inference time", ICML 2022.
 *
 *     new = sum_i w_i / K
 *
 * the same arithmetic as `uniform`, under the name that those who merge models look for.
 *
 * Use it as the first try on models that were fine-tuned from one base with other seeds or settings.
 * It breaks where one of them is bad, for it counts like the rest: `soup-greedy` leaves it out.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';

export const soupUniform = linearRule({
  name: 'soup-uniform',
  summary: 'The plain mean of fine-tuned models.',
  paper:
    'Wortsman et al., ICML 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time"',
  options: z.strictObject({}),
  weightMax: () => 1,
  weigh: () => 1,
});
