/**
 * Powers of the number of examples.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i^kappa / sum n^kappa
 *
 * kappa 0 is the plain mean, 1 is FedAvg (McMahan et al., AISTATS 2017); what stands between counts
 * large clients more, but not as much as they are larger.
 *
 * Use it where sites differ in size by orders of magnitude: with FedAvg the largest is the model,
 * with the plain mean the noise of the smallest is. It breaks where FedAvg does: counts are the
 * clients' own claims.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';

export const power = linearRule({
  name: 'power',
  summary: 'The mean, each update counted by a power of its examples.',
  paper:
    'McMahan et al., AISTATS 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", with powers of the counts',
  options: z.strictObject({
    kappa: z
      .number()
      .min(0)
      .max(2)
      .default(0.5)
      .describe('Power of the number of examples: 0 is uniform, 1 is fedavg.'),
  }),
  weightMax: ({ kappa }) => pow(EXAMPLES_MAX, kappa),
  weigh: ({ numExamples }, { options: { kappa } }) => pow(numExamples, kappa),
});
