/**
 * Noise: every coordinate of the update is a draw from N(mean, stdDev^2).
 *
 * The update is replaced, as in Blades (Li et al., 2022) and in Blanchard et al., NeurIPS 2017; there
 * are papers that add the noise to an honest update, which is weaker. With a mean of .1 all attackers
 * push every weight the same way.
 */
import { z } from 'zod';
import { normal } from '../normal.js';
import type { Attack } from './attack.js';

const parameters = z.strictObject({
  mean: z.number().default(0.1),
  stdDev: z.number().nonnegative().default(0.1),
});

export const noise: Attack<z.infer<typeof parameters>> = {
  name: 'noise',
  summary: 'sends draws from N(mean, stdDev^2) in place of an update',
  paper: 'Blanchard et al., NeurIPS 2017, "Machine Learning with Adversaries"',
  parameters,
  forge: ({ own, random }, { mean, stdDev }) => own.map(() => mean + stdDev * normal(random)),
};
