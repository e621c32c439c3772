/**
 * Server Adagrad (FedAdagrad). Reddi et al.: "Adaptive Federated Optimization", ICLR 2021.
 *
 *     m = beta1 m + (1 - beta1) D
 *     v = v + D^2,   v starts at tau^2
 *     w += eta m / (sqrt(v) + tau)
 *
 * As in the paper's experiments there is no momentum unless beta1 asks for it. Use it where some
 * parameters seldom move (embeddings of rare words): their steps stay long. It breaks in long runs:
 * v only grows, and the steps of everything else with it go to zero.
 */
import { z } from 'zod';
import { adaptive } from './adaptive.js';

const options = z.strictObject({
  eta: z.number().positive().default(0.1),
  beta1: z.number().min(0).lt(1).default(0),
  tau: z.number().nonnegative().default(1e-3),
});

export const adagrad = adaptive({
  name: 'adagrad',
  summary: 'Adagrad on the aggregate: FedAdagrad with fedavg.',
  options,
  second: (v, d) => v + d * d,
});
