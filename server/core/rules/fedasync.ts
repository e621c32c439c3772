/**
 * FedAsync. Xie, Koyejo, Gupta: "Asynchronous Federated Optimization", 2019.
 *
 *     new = (1 - a_s) w + a_s w_i,   a_s = a (1 + s)^-exponent
 *
 * for one update that is s versions old; for several in one round the mean of what each alone would
 * give. (The paper's clients train from the version that w was s steps ago; the update is their
 * change, so that w_i here is w + D_i.)
 *
 * Use it where every update is to count at once, one at a time: cohorts of one, many rounds. It
 * breaks with many fast clients: they drown the slow ones, and a single update that is bad moves the
 * model by a.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import { linearRule } from './families/linear.js';

export const fedasync = linearRule({
  name: 'fedasync',
  summary: "Mixes each client's model in at a fixed rate, less where it is stale.",
  paper: 'Xie et al., 2019, "Asynchronous Federated Optimization"',
  options: z.strictObject({
    a: z.number().positive().max(1).default(0.6).describe('Rate at which a fresh model mixes in.'),
    exponent: z.number().min(0).max(10).default(0.5).describe('How fast stale updates fade.'),
  }),
  weightMax: ({ a }) => a,
  weigh: ({ staleness }, { options: { a, exponent } }) => a * pow(1 + staleness, -exponent),
  scale: ({ count }) => 1 / count,
  diagnose: (facts) => ({ greatestStaleness: Math.max(...facts.map((one) => one.staleness)) }),
});
