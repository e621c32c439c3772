/**
 * Plain server SGD: w += eta * D. With eta 1 the aggregate is added as it is, which is FedAvg.
 * McMahan et al., AISTATS 2017; eta as in Reddi et al., ICLR 2021.
 */
import { z } from 'zod';
import type { ServerOptimizer } from './optimizer.js';

const options = z.strictObject({ eta: z.number().positive().default(1) });

export const sgd: ServerOptimizer<z.infer<typeof options>> = {
  name: 'sgd',
  paper: 'Reddi et al., ICLR 2021, "Adaptive Federated Optimization"',
  options,
  apply: (delta, state, { eta }) => ({ delta: delta.map((d) => eta * d), state }),
};
