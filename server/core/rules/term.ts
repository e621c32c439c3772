/**
 * TERM, tilted empirical risk minimisation. Li, Beirami, Sanjabi, Smith: "Tilted Empirical Risk
 * Minimization", ICLR 2021.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i exp(t F_i) / sum n exp(t F)
 *
 * F_i is the loss of the received model on the client's data (`lossBefore`). In the fold the weight
 * is n_i exp(t (F_i - F)), F the median loss of the round before (`firstLoss` in the first round),
 * the exponential held at 256: F cancels in p_i, and the cap on weights is 256 times that of
 * FedAvg. `clipped` says how many updates were held.
 *
 * Use it with t > 0 to lift the clients that are worst off, more sharply than q-FedAvg; with t < 0
 * to play down those whose data may be broken. It breaks, with t > 0, where high losses are noise or
 * lies; with t < 0 it leaves rare kinds of clients behind. Where t times the first losses is beyond 5
 * (ln 256) to either side, give `firstLoss`: without it the first round counts all by their examples
 * (t > 0), or hardly at all (t < 0).
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { TILTED_MAX, tiltDiagnostics, tilted } from './linear/tilt.js';
import { withTypical } from './linear/typical.js';
import { LOSS_BEFORE, lossBefore } from './metrics.js';

const options = z.strictObject({
  t: z
    .number()
    .min(-100)
    .max(100)
    .default(1)
    .describe('The tilt: above 0 towards the worst off, below 0 away from them.'),
  firstLoss: z
    .number()
    .default(0)
    .describe('A typical loss of the first model, from which its tilt is measured.'),
});
type Options = z.infer<typeof options>;

const tilt = ({ t, firstLoss }: Options) => ({ perLoss: t, firstLoss });

export const term = linearRule({
  name: 'term',
  summary: 'Counts clients by the exponential of their loss, times their examples.',
  paper: 'Li et al., ICLR 2021, "Tilted Empirical Risk Minimization"',
  options,
  needs: { metrics: [LOSS_BEFORE] },
  weightMax: () => TILTED_MAX,
  weigh: (facts, { options: o, state }) => tilted(facts, state, tilt(o)),
  advance: (state, facts) => withTypical(state, facts.map(lossBefore)),
  diagnose: (facts, _, { options: o, state }) => tiltDiagnostics(facts, state, tilt(o)),
});
