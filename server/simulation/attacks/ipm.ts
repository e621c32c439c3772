/**
 * Inner Product Manipulation (Xie, Koyejo, Gupta, UAI 2019, "Fall of Empires"): -epsilon times the
 * mean of the benign updates. With epsilon below (n-f)/f the mean of all still points forward, only
 * shorter, but rules that pick few updates may pick these; with a large epsilon the mean turns round.
 */
import { z } from 'zod';
import type { Attack } from './attack.js';
import { benignMoments } from './attack.js';

const parameters = z.strictObject({ epsilon: z.number().positive().default(0.5) });

export const ipm: Attack<z.infer<typeof parameters>> = {
  name: 'ipm',
  summary: 'sends -epsilon times the mean of the benign updates',
  paper: 'Xie, Koyejo, Gupta, UAI 2019, "Fall of Empires"',
  parameters,
  forge: ({ benign }, { epsilon }) =>
    Float32Array.from(benignMoments(benign).mean, (value) => -epsilon * value),
};
