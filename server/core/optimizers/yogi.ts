/**
 * Server Yogi (FedYogi). Reddi et al.: "Adaptive Federated Optimization", ICLR 2021.
 *
 *     m = beta1 m + (1 - beta1) D
 *     v = v - (1 - beta2) D^2 sign(v - D^2),   v starts at tau^2
 *     w += eta m / (sqrt(v) + tau)
 *
 * Like Adam, without bias correction, but v comes down by no more than (1 - beta2) D^2 a round: after
 * rounds with large updates the steps do not grow again at once. Use it where Adam is used and the
 * aggregates are noisy (few clients a round). It breaks where v must come down: after a large first
 * round it stays slow for long.
 */
import { z } from 'zod';
import { adaptive } from './adaptive.js';

const options = z.strictObject({
  eta: z.number().positive().default(0.01),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.99),
  tau: z.number().nonnegative().default(1e-3),
});

export const yogi = adaptive({
  name: 'yogi',
  summary: 'Adam whose second moment falls slowly: FedYogi with fedavg.',
  options,
  second(v, d, { beta2 }) {
    const squared = d * d;
    return v - (1 - beta2) * squared * Math.sign(v - squared);
  },
});
