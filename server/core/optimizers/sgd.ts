/**
 * Plain server SGD. McMahan et al., AISTATS 2017; eta as in Reddi et al., ICLR 2021.
 *
 *     w += eta D
 *
 * Use it first: with eta 1 the aggregate is added as it is, which is FedAvg. An eta over 1 makes up for
 * a mean that is too short because clients pull apart. It breaks with one that is too large: the model
 * overshoots, and every client trains it back.
 */
import { z } from 'zod';
import type { ServerOptimizer } from './optimizer.js';

const options = z.strictObject({ eta: z.number().positive().default(1) });

export const sgd: ServerOptimizer<z.infer<typeof options>> = {
  name: 'sgd',
  summary: 'Adds eta times the aggregate.',
  paper: 'Reddi et al., ICLR 2021, "Adaptive Federated Optimization"',
  options,
  apply: (delta, state, { eta }) => ({ delta: delta.map((d) => eta * d), state }),
};
