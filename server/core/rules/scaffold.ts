/**
 * SCAFFOLD. Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: "SCAFFOLD: Stochastic Controlled
 * Averaging for Federated Learning", ICML 2020 (option II of its algorithm 1).
 *
 *     each local step goes along g + c - c_i
 *     c_i+ = c_i - c - D_i / (steps lr),   dc_i = c_i+ - c_i
 *     new = w + mean D_i,   c += sum_i dc_i / N
 *
 * c_i estimates the client's own gradient, c the mean of them, so every client steps as if it saw
 * everybody's data. c goes down with the model, dc_i comes up as the vector `control`, c_i never
 * leaves its client. N counts the clients that are enrolled and train, invited or not; the server's
 * learning rate is the optimizer's eta. With `weights: examples` both means count by examples: the
 * sum of dc_i is then K sum n_i dc_i / sum n, for K updates.
 *
 * Use it where clients' data differ and they make many local steps: it removes the client drift that
 * FedAvg suffers from. It breaks where clients forget c_i: what a lost one added to c stays there,
 * and one loss can cost all that SCAFFOLD gains (docs/decisions/0009: give Node clients `--state`). It
 * breaks where clients take part once or seldom, since an old c_i may be worse than none, and where
 * many are enrolled after the first rounds, since N then moves under c. Local momentum is refused:
 * D_i / (steps lr) would no longer be a mean gradient. An upload carries two vectors, and dc_i is as
 * large as gradients are: where these reach past `caps.deltaMax`, raise that cap.
 */
import { z } from 'zod';
import { slot } from '../optimizers/slots.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';
import { robustWeight, robustWeights } from './robust-weights.js';

const options = z.strictObject({
  weights: robustWeights.describe('How updates count: one voice each, or by their examples.'),
});

/** In the state, in the broadcast, and among an update's vectors. */
const CONTROL = 'control';

export const scaffold = linearRule({
  name: 'scaffold',
  summary: "Control variates steer each client's steps along everybody's gradient.",
  paper:
    'Karimireddy et al., ICML 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning"',
  options,
  needs: { vectors: [{ name: CONTROL, roles: ['source', 'target'], many: false }] },
  weightMax: ({ weights }) => (weights === 'examples' ? EXAMPLES_MAX : 1),
  // Both by the same weights: corrections that are weighed otherwise than the steps do not cancel.
  weigh(facts, ctx) {
    const weight = robustWeight(facts, ctx.options);
    return { weight, aux: { control: weight } };
  },
  advance(state, facts, { delta, control }, { options: o, numClients }) {
    const sum = control ?? new Float64Array(delta.length);
    const total = facts.reduce((all, one) => all + robustWeight(one, o), 0);
    const divisor = (total * numClients) / facts.length;
    const mean = slot(state, CONTROL, delta.length, 0);
    for (let i = 0; i < mean.length; i++) mean[i] += sum[i] / divisor;
    return { ...state, tensors: { control: mean } };
  },
  training: () => ({ controlVariates: true }),
  broadcast: ({ tensors }) => tensors,
});
