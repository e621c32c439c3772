/**
 * FedProx. Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: "Federated Optimization in Heterogeneous
 * Networks", MLSys 2020.
 *
 *     each client minimises F_i(v) + mu/2 |v - w|^2;   new = w + sum_i p_i D_i,   p_i = n_i / sum n
 *
 * The server's half is FedAvg; mu goes to the clients as `proximalMu` of their training.
 *
 * Use it where clients' data differ and local training is long: mu holds them near the model that
 * they were given. The paper tries mu of .001, .01, .1 and 1. It breaks where mu is large: nobody
 * moves any more. It does nothing with clients that ignore `proximalMu` of the training request, as
 * those with a train function of their own may.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';

export const fedprox = linearRule({
  name: 'fedprox',
  summary: 'FedAvg of clients that are held near the model while they train.',
  paper: 'Li et al., MLSys 2020, "Federated Optimization in Heterogeneous Networks"',
  options: z.strictObject({
    mu: z.number().min(0).default(0.01).describe('How strongly clients are held to the model.'),
  }),
  weightMax: () => EXAMPLES_MAX,
  weigh: ({ numExamples }) => numExamples,
  training: ({ mu }) => ({ proximalMu: mu }),
});
