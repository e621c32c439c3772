/**
 * TERM, tilted empirical risk minimisation. Li, Beirami, Sanjabi, Smith: "Tilted Empirical Risk
 * Minimization", ICLR 2021.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i exp(t F_i) / sum n exp(t F)
 *
 * F_i is the loss of the received model on the client's data (`lossBefore`). In the fold the weight
 * is n_i exp(t (F_i - F)): F cancels in p_i. In the first round F is the greatest loss of that round
 * (the least for t < 0), so no weight is above FedAvg's. Later it is the median of the round before
 * and the exponential is held at 256, which fixes the cap on weights at 256 times FedAvg's; `clipped`
 * says how many updates were held.
 *
 * Use it with t > 0 to lift the clients that are worst off, more sharply than q-FedAvg; with t < 0
 * to play down those whose data may be broken. It breaks, with t > 0, where high losses are noise or
 * lies (in the first round one such claim has the model to itself); with t < 0 it leaves rare kinds
 * of clients behind. Where t times the spread of the losses is beyond 5.5 (ln 256), those that are
 * held count less than the formula says, and where losses fall by more than 10 / t from one round to
 * the next, weights lose digits of the fixed point: lower t.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { TILTED_MAX, firstTilt, nextTilt, tiltDiagnostics, tilted } from './linear/tilt.js';
import { LOSS_BEFORE } from './metrics.js';

const options = z.strictObject({
  t: z
    .number()
    .min(-100)
    .max(100)
    .default(1)
    .describe('The tilt: above 0 towards the worst off, below 0 away from them.'),
});
export const term = linearRule({
  name: 'term',
  summary: 'Counts clients by the exponential of their loss, times their examples.',
  paper: 'Li et al., ICLR 2021, "Tilted Empirical Risk Minimization"',
  options,
  needs: { metrics: [LOSS_BEFORE] },
  weightMax: () => TILTED_MAX,
  weigh: (facts, { options: { t }, state }) => tilted(facts, state, t),
  first: (facts, { t }) => firstTilt(facts, t),
  advance: nextTilt,
  diagnose: (facts, _, { options: { t }, state }) => tiltDiagnostics(facts, state, t),
});
