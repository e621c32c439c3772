/**
 * Server Adam (FedAdam). Reddi et al.: "Adaptive Federated Optimization", ICLR 2021.
 *
 *     m = beta1 m + (1 - beta1) D
 *     v = beta2 v + (1 - beta2) D^2,   v starts at tau^2
 *     w += eta m / (sqrt(v) + tau)
 *
 * Without bias correction, as the paper has it. tau is how much adaptivity there is: the step never
 * exceeds eta m / tau, and with tau 0 nothing bounds it. Use it where gradients differ much in size
 * over the model (embeddings), and tune it. It breaks with the default eta of 0.1 on models that want
 * small steps: they diverge.
 */
import { z } from 'zod';
import { adaptive } from './adaptive.js';

const options = z.strictObject({
  eta: z.number().positive().default(0.1),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.99),
  tau: z.number().nonnegative().default(1e-3),
});

export const adam = adaptive({
  name: 'adam',
  summary: 'Adam on the aggregate, without bias correction: FedAdam with fedavg.',
  options,
  second: (v, d, { beta2 }) => beta2 * v + (1 - beta2) * d * d,
});
