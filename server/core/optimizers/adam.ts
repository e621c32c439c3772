/**
 * Server Adam (FedAdam). Reddi et al.: "Adaptive Federated Optimization", ICLR 2021.
 *
 *     m = beta1 m + (1 - beta1) D
 *     v = beta2 v + (1 - beta2) D^2,   v starts at tau^2
 *     w += eta m / (sqrt(v) + tau)
 *
 * Without bias correction, as the paper has it. tau is how much adaptivity there is: the step never
 * exceeds eta m / tau, and with tau 0 nothing bounds it. Use it where gradients differ much in size over the model (embeddings), and tune
 * it. It breaks with the default eta of 0.1 on models that want small steps: they diverge.
 */
import { z } from 'zod';
import { adaptiveStep } from './adaptive-step.js';
import type { ServerOptimizer } from './optimizer.js';
import { slot } from './slots.js';

const options = z.strictObject({
  eta: z.number().positive().default(0.1),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.99),
  tau: z.number().nonnegative().default(1e-3),
});

export const adam: ServerOptimizer<z.infer<typeof options>> = {
  name: 'adam',
  summary: 'Adam on the aggregate, without bias correction: FedAdam with fedavg.',
  paper: 'Reddi et al., ICLR 2021, "Adaptive Federated Optimization"',
  options,
  apply(delta, state, given) {
    const { beta1, beta2, tau } = given;
    const m = slot(state, 'm', delta.length, 0);
    const v = slot(state, 'v', delta.length, tau * tau);
    const step = delta.map((d, i) => {
      m[i] = beta1 * m[i] + (1 - beta1) * d;
      v[i] = beta2 * v[i] + (1 - beta2) * d * d;
      return adaptiveStep(given, m[i], v[i]);
    });
    return { delta: step, state: { ...state, tensors: { m, v } } };
  },
};
