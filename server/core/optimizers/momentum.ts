/**
 * Server momentum (FedAvgM). Hsu, Qi, Brown: "Measuring the Effects of Non-Identical Data
 * Distribution for Federated Visual Classification", 2019.
 *
 *     m = beta m + D,   w += eta m
 *
 * Use it where a round has few clients or very different ones: it smooths over rounds. It breaks at the
 * eta of plain SGD: the step grows up to 1 / (1 - beta) times D, so lower eta with it.
 */
import { z } from 'zod';
import type { ServerOptimizer } from './optimizer.js';
import { slot } from './slots.js';

const options = z.strictObject({
  eta: z.number().positive().default(1),
  beta: z.number().min(0).lt(1).default(0.9),
});

export const momentum: ServerOptimizer<z.infer<typeof options>> = {
  name: 'momentum',
  summary: 'Heavy-ball momentum over the aggregates of the rounds.',
  paper:
    'Hsu et al., 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification"',
  options,
  apply(delta, state, { eta, beta }) {
    const m = slot(state, 'm', delta.length, 0);
    const step = delta.map((d, i) => {
      m[i] = beta * m[i] + d;
      return eta * m[i];
    });
    return { delta: step, state: { ...state, tensors: { m } } };
  },
};
