/**
 * FedDyn. Acar, Zhao, Matas Navarro, Mattina, Whatmough, Saligrama: "Federated Learning Based on
 * Dynamic Regularization", ICLR 2021.
 *
 *     each client minimises F_i(w') - <g_i, w'> + alpha/2 |w' - w|^2,   then g_i -= alpha D_i
 *     h -= alpha sum_i D_i / N
 *     new = mean(w_i) - h / alpha
 *
 * g_i is the client's gradient where it stopped last time and never leaves it; h is their mean, as
 * far as it can be told from the updates. N counts the clients that are enrolled and train. In terms
 * of updates, new = w - h_before / alpha + sum_i (1/K + 1/N) D_i, hence the weights, which add up
 * to 2 where everybody takes part.
 *
 * Use it like SCAFFOLD, where a second vector an upload is too much: only D_i travels. alpha between
 * .01 and .1 suits models whose loss is of order 1. It breaks where local training stops far from
 * its minimum (few steps, a small learning rate): the theory wants the local problems solved, and h
 * then grows past what the clients can follow; where clients forget g_i, since a lost one stays in h
 * (docs/decisions/0009: give Node clients `--state`); and with a server optimizer other than `sgd` at
 * eta 1, since h / alpha assumes that step.
 */
import { z } from 'zod';
import { slot } from '../optimizers/slots.js';
import { linearRule } from './families/linear.js';

const options = z.strictObject({
  alpha: z.number().positive().default(0.1).describe('Strength of the dynamic regulariser.'),
});

export const feddyn = linearRule({
  name: 'feddyn',
  summary: "A regulariser that follows each client's gradient makes local optima agree.",
  paper: 'Acar et al., ICLR 2021, "Federated Learning Based on Dynamic Regularization"',
  options,
  weightMax: () => 1,
  weigh: () => 1,
  scale: ({ count }, { numClients }) => 1 / count + 1 / numClients,
  advance: (state, _facts, { delta }, { options: { alpha }, numClients }) => {
    const h = slot(state, 'h', delta.length, 0);
    for (let i = 0; i < h.length; i++) h[i] -= (alpha * delta[i]) / numClients;
    return { ...state, tensors: { h } };
  },
  // This round's part of h is in the scale: what is left is that of the rounds before.
  shift: ({ tensors }, { options: { alpha }, state }) =>
    slot(state, 'h', tensors.h.length, 0).map((h) => -h / alpha),
  training: ({ alpha }) => ({ dynamicAlpha: alpha }),
});
