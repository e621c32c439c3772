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
import { adaptiveStep } from './adaptive-step.js';
import type { ServerOptimizer } from './optimizer.js';
import { slot } from './slots.js';

const options = z.strictObject({
  eta: z.number().positive().default(0.1),
  beta1: z.number().min(0).lt(1).default(0),
  tau: z.number().nonnegative().default(1e-3),
});

export const adagrad: ServerOptimizer<z.infer<typeof options>> = {
  name: 'adagrad',
  summary: 'Adagrad on the aggregate: FedAdagrad with fedavg.',
  paper: 'Reddi et al., ICLR 2021, "Adaptive Federated Optimization"',
  options,
  apply(delta, state, given) {
    const { beta1, tau } = given;
    const m = slot(state, 'm', delta.length, 0);
    const v = slot(state, 'v', delta.length, tau * tau);
    const step = delta.map((d, i) => {
      m[i] = beta1 * m[i] + (1 - beta1) * d;
      v[i] += d * d;
      return adaptiveStep(given, m[i], v[i]);
    });
    return { delta: step, state: { ...state, tensors: { m, v } } };
  },
};
