/**
 * KL-DRO, distributionally robust with a Kullback-Leibler penalty. Hu, Hong: "Kullback-Leibler
 * Divergence Constrained Distributionally Robust Optimization", Optimization Online 2013.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i exp(F_i / tau) / sum n exp(F / tau)
 *
 * p is the mixture of clients with the greatest mean loss, less tau times its divergence from n: the
 * worst case near the data's own mixture. F_i is the loss of the received model on the client's data
 * (`lossBefore`). Weights are measured and held as TERM's are, whose rule this is with t = 1 / tau.
 *
 * Use it where the clients that will use the model may be another mixture than those that train it.
 * tau, in units of the loss, is how far: large is FedAvg, small is the worst client alone. It breaks
 * where high losses are noise or lies, and after the first round where losses are further apart than
 * 5.5 tau: those that are held then count less than the formula says (`clipped`).
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { TILTED_MAX, firstTilt, nextTilt, tiltDiagnostics, tilted } from './linear/tilt.js';
import { LOSS_BEFORE } from './metrics.js';

const options = z.strictObject({
  tau: z
    .number()
    .min(0.01)
    .default(1)
    .describe('Price of leaving the mixture of the data, in units of the loss.'),
});
export const klDro = linearRule({
  name: 'kl-dro',
  summary: 'Counts clients as the worst mixture near the one of the data does.',
  paper:
    'Hu, Hong, Optimization Online 2013, "Kullback-Leibler Divergence Constrained Distributionally Robust Optimization"',
  options,
  needs: { metrics: [LOSS_BEFORE] },
  weightMax: () => TILTED_MAX,
  weigh: (facts, { options: { tau }, state }) => tilted(facts, state, 1 / tau),
  first: (facts, { tau }) => firstTilt(facts, 1 / tau),
  advance: nextTilt,
  diagnose: (facts, _, { options: { tau }, state }) => tiltDiagnostics(facts, state, 1 / tau),
});
