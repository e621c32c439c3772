/**
 * The plain mean: every client counts the same.
 *
 *     new = w + sum_i D_i / K
 *
 * Use it where each site should have one voice, where numbers of examples are secret or cannot be
 * trusted, and as the baseline of robust rules. It breaks where some clients have so few examples
 * that their updates are mostly noise.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';

export const uniform = linearRule({
  name: 'uniform',
  summary: 'The plain mean of the updates: one client, one voice.',
  paper:
    'McMahan et al., AISTATS 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", with equal weights',
  options: z.strictObject({}),
  weightMax: () => 1,
  weigh: () => 1,
});
