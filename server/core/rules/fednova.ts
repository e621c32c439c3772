/**
 * FedNova. Wang, Liu, Liang, Joshi, Poor: "Tackling the Objective Inconsistency Problem in
 * Heterogeneous Federated Optimization", NeurIPS 2020.
 *
 *     new = w + tau_eff sum_i p_i D_i / tau_i,   tau_eff = sum_i p_i tau_i,   p_i = n_i / sum n
 *
 * tau_i is the number of local steps; with local momentum rho, s steps count as
 * (s - rho (1 - rho^s) / (1 - rho)) / (1 - rho).
 *
 * Use it where clients make different numbers of steps (the same epochs over unlike amounts of
 * data, devices of unlike speed): with FedAvg those who step more pull the model to their own
 * optimum. It breaks where a client lies about its steps: a claim of 1 makes its update count tau_i
 * times as much. It does nothing against clients whose data differ.
 */
import { z } from 'zod';
import { pow } from '../math.js';
import { linearRule } from './families/linear.js';
import { EXAMPLES_MAX } from './fedavg.js';

/** By how much `steps` local steps with momentum move, in single plain steps. At least 1. */
function effectiveSteps(steps: number, rho: number): number {
  if (rho === 0) return steps;
  return (steps - (rho * (1 - pow(rho, steps))) / (1 - rho)) / (1 - rho);
}

export const fednova = linearRule({
  name: 'fednova',
  summary: 'The mean of the updates per local step, times the mean number of steps.',
  paper:
    'Wang et al., NeurIPS 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization"',
  options: z.strictObject({
    rho: z
      .number()
      .min(0)
      .max(0.999)
      .default(0)
      .describe("The clients' local momentum: training.momentum of the run."),
  }),
  weightMax: () => EXAMPLES_MAX,
  weigh({ numExamples, numSteps }, { options: { rho } }) {
    const steps = effectiveSteps(numSteps, rho);
    // With momentum near 1, rounding could give a hair less than 1 for a single step.
    const weight = numExamples / Math.max(1, steps);
    return { weight, scalars: { examples: numExamples, steps: numExamples * steps } };
  },
  scale: ({ scalars: { examples, steps } }) => steps / examples / examples,
  diagnose: (_, { scalars: { examples, steps } }) => ({ effectiveSteps: steps / examples }),
});
