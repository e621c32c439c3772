/**
 * FedBuff, buffered asynchronous aggregation. Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba:
 * "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022.
 *
 *     new = w + eta / K sum_i D_i (1 + s_i)^-exponent
 *
 * over the K updates in the buffer, s_i the versions committed since client i got its model. K is an
 * option, 10 in the paper; by default it is the number of updates that were folded, which is what the
 * run's quorum closed the round with. Divided by K and not by the sum of the weights: stale updates
 * make the step smaller.
 *
 * Use it where devices come and go and nobody should wait for the slowest. In synchronous rounds all
 * s_i are 0, and it is eta times the plain mean. It breaks where staleness is much above the
 * buffer: updates then point where the model was long ago. With a `K` below what rounds hold, the step
 * is longer than a mean.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import { linearRule } from './families/linear.js';

export const fedbuff = linearRule({
  name: 'fedbuff',
  summary: 'The mean of a buffer of updates, the stale ones counted less.',
  paper: 'Nguyen et al., AISTATS 2022, "Federated Learning with Buffered Asynchronous Aggregation"',
  options: z.strictObject({
    K: z
      .int()
      .positive()
      .optional()
      .describe('What the sum is divided by; by default the number of updates.'),
    eta: z.number().positive().default(1).describe('Server learning rate.'),
    exponent: z.number().min(0).max(10).default(0.5).describe('How fast stale updates fade.'),
  }),
  weightMax: () => 1,
  weigh: ({ staleness }, { options: { exponent } }) => pow(1 + staleness, -exponent),
  scale: ({ count }, { options: { eta, K = count } }) => eta / K,
  diagnose: (facts) => ({ greatestStaleness: Math.max(...facts.map((one) => one.staleness)) }),
});
