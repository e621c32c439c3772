/**
 * Every site below eps: dual ascent on the constraints F_i <= eps. Chamon, Ribeiro: "Probably
 * Approximately Correct Constrained Learning", NeurIPS 2020.
 *
 *     new = w + sum_i lambda_i D_i / sum lambda,   lambda_i <- max(0, lambda_i + eta (F_i - eps))
 *
 * F_i is the loss of the received model on the client's data (`lossBefore`). The lambdas are kept by
 * client between rounds and start at 1; a site that is below eps loses its say, one that stays above
 * gains, up to 2^20. In the fold they are divided by the greatest of the round before.
 *
 * Use it where "good enough everywhere" can be put as a number, e.g. a loss that each hospital
 * accepts. When all are below it for long, all lambdas are 0 and the model stays as it is. It breaks
 * where eps cannot be reached: the lambda of the hopeless site grows until it alone counts. Choose
 * eps for the task: the default means nothing for other losses than a cross-entropy.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { multiplierOf, multipliersOf, withMultipliers } from './linear/multipliers.js';
import { lossDiagnostics } from './linear/tilt.js';
import { LOSS_BEFORE, lossBefore } from './metrics.js';
import type { RuleState } from './rule.js';

const START = 1;
/** Growth without end would turn into infinity, and all else into zero. */
const LAMBDA_MAX = 1_048_576;

const GREATEST = 'greatest';

/** The greatest lambda, or 1: what the weights in the fold are divided by. */
function greatest({ values }: RuleState): number {
  return typeof values[GREATEST] === 'number' ? values[GREATEST] : START;
}

export const feasible = linearRule({
  name: 'feasible',
  summary: 'Brings the loss of every site below a bound: who is above it counts more.',
  paper: 'Chamon, Ribeiro, NeurIPS 2020, "Probably Approximately Correct Constrained Learning"',
  options: z.strictObject({
    eps: z.number().default(0.5).describe('The loss that every site is to come below.'),
    eta: z
      .number()
      .positive()
      .max(100)
      .default(0.1)
      .describe('Step of the weights, per unit of loss.'),
  }),
  needs: { metrics: [LOSS_BEFORE] },
  weightMax: () => 1,
  weigh(facts, { state }) {
    // Only the next weights depend on it. But an update without it must not get as far as there.
    lossBefore(facts);
    return (multiplierOf(state, facts.clientId) ?? START) / greatest(state);
  },
  advance(state, facts, _, { options: { eps, eta } }) {
    const lambdas = multipliersOf(state);
    for (const one of facts) {
      const raised = (lambdas.get(one.clientId) ?? START) + eta * (lossBefore(one) - eps);
      lambdas.set(one.clientId, Math.min(Math.max(0, raised), LAMBDA_MAX));
    }
    const top = [...lambdas.values()].reduce((most, lambda) => Math.max(most, lambda), START);
    return withMultipliers({ ...state, values: { ...state.values, [GREATEST]: top } }, lambdas);
  },
  diagnose: (facts, _, { options: { eps } }) => ({
    ...lossDiagnostics(facts),
    above: facts.filter((one) => lossBefore(one) > eps).length,
  }),
});
