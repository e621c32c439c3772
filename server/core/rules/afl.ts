/**
 * AFL, agnostic federated learning. Mohri, Sivek, Suresh: "Agnostic Federated Learning", ICML 2019.
 *
 *     new = w + sum_i lambda_i D_i / sum lambda,   lambda <- projection on the simplex of lambda + g F
 *
 * F_i is the loss of the received model on the client's data (`lossBefore`). The lambdas are kept by
 * client between rounds and rise where the loss is high: descent on the model and ascent on the
 * mixture at once, each from what was known when the round began. A client that is seen first has
 * the mean of those known; one that is not in a round keeps its lambda, up to the projection.
 *
 * Use it with few, named sites of which none may be served badly. It breaks with many clients of
 * which few are in a round: lambdas of the absent are old. Where all clients of a round have come
 * down to lambda 0, that round changes nothing. A site whose labels are noise ends up as the model.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';
import { multiplierOf, multipliersOf, withMultipliers } from './linear/multipliers.js';
import { projectOnSimplex } from './linear/simplex.js';
import { lossDiagnostics } from './linear/tilt.js';
import { LOSS_BEFORE, lossBefore } from './metrics.js';

/** Of a client that is seen for the first time: as much as each of `others` has in the mean. */
const newcomer = (others: number): number => 1 / Math.max(1, others);

export const afl = linearRule({
  name: 'afl',
  summary: 'Trains for the worst mixture of clients: weights rise where the loss is high.',
  paper: 'Mohri et al., ICML 2019, "Agnostic Federated Learning"',
  options: z.strictObject({
    g: z.number().positive().max(1).default(0.1).describe('Step of the weights, per unit of loss.'),
  }),
  needs: { metrics: [LOSS_BEFORE] },
  weightMax: () => 1,
  weigh(facts, { state }) {
    // Only the next weights depend on it. But an update without it must not get as far as there.
    lossBefore(facts);
    return multiplierOf(state, facts.clientId) ?? newcomer(multipliersOf(state).size);
  },
  advance(state, facts, _, { options: { g } }) {
    const lambdas = multipliersOf(state);
    // The first cohort had weights of 1, which come to the same: weights count by their ratio.
    const start = newcomer(lambdas.size === 0 ? facts.length : lambdas.size);
    for (const one of facts) {
      lambdas.set(one.clientId, (lambdas.get(one.clientId) ?? start) + g * lossBefore(one));
    }
    const projected = projectOnSimplex([...lambdas.values()]);
    const clients = [...lambdas.keys()];
    return withMultipliers(state, new Map(clients.map((id, i) => [id, projected[i]])));
  },
  diagnose: (facts) => lossDiagnostics(facts),
});
