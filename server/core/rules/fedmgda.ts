/**
 * FedMGDA+. Hu, Shaloudegi, Zhang, Yu: "Federated Learning Meets Multi-Objective Optimization",
 * IEEE Transactions on Network Science and Engineering, 2022 (arXiv 2020).
 *
 *     new = w + sum_i lambda_i D_i / |D_i|,   lambda = argmin |sum_i lambda_i D_i / |D_i||^2
 *
 * over lambda >= 0 with sum 1 and |lambda_i - p_i| <= epsilon. The shortest vector in the hull of the
 * directions makes progress for every client at once; where it is zero, no direction does. Only the
 * Gram matrix is looked at. An update that is zero has no direction and is left out.
 *
 * Use it where no client may be the worse for taking part: the long update of a great client counts
 * no more than a small one's. It breaks where clients disagree much: the step gets short (`minNorm`)
 * long before the mean stops getting better, and one client that sends the opposite of the others
 * stops the model; a small `epsilon`, such as 0.1, holds lambda near the shares and so bounds what one
 * client can do. A step is never longer than 1, whatever the clients' learning rate: set the server
 * optimizer's eta to the length that updates usually have.
 */
import { z } from 'zod';
import { minimiseOnSimplex } from './combination/quadratic.js';
import { combinationRule } from './families/combination.js';
import type { Gram } from './families/gram.js';
import type { UpdateFacts } from './rule.js';

const options = z.strictObject({
  epsilon: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('How far a lambda may be from the share of its client; 0 is the mean, 1 is free.'),
  shares: z
    .enum(['examples', 'uniform'])
    .default('examples')
    .describe('The shares p that epsilon is about.'),
});
type Options = z.infer<typeof options>;

export const fedmgda = combinationRule({
  name: 'fedmgda',
  summary: 'The direction that helps every client: the shortest mean of their directions.',
  paper:
    'Hu et al., IEEE TNSE 2022 (arXiv 2020), "Federated Learning Meets Multi-Objective Optimization"',
  options,
  needs: {},
  async combine(x, ctx) {
    const [gram] = await x.gram('model');
    const norms = x.updates.map((_, update) => Math.sqrt(gram.dot({ update }, { update })));
    const moving = norms.flatMap((norm, i) => (norm > 0 ? [i] : []));
    const { lambda, minNorm } = commonDirection(gram, norms, moving, sharesOf(x.updates, ctx));
    const coefficients = norms.map((norm, i) => (norm > 0 ? lambda[i] / norm : 0));
    const named = x.updates.map(({ clientId }, i) => [`lambda.${clientId}`, lambda[i]] as const);
    return {
      coefficients: { model: 1, updates: coefficients },
      diagnostics: { minNorm, left: norms.length - moving.length, ...Object.fromEntries(named) },
    };
  },
});

interface Shares {
  readonly share: readonly number[];
  readonly epsilon: number;
}

function sharesOf(
  updates: readonly UpdateFacts[],
  { options: { shares, epsilon } }: { readonly options: Options },
): Shares {
  return {
    share: updates.map(({ numExamples }) => (shares === 'examples' ? numExamples : 1)),
    epsilon,
  };
}

/** Lambda for every update, 0 for those that do not move, and the length of what they give. */
function commonDirection(
  gram: Gram<'delta'>,
  norms: readonly number[],
  moving: readonly number[],
  { share, epsilon }: Shares,
): { lambda: readonly number[]; minNorm: number } {
  const size = moving.length;
  const total = moving.reduce((sum, i) => sum + share[i], 0);
  const p = moving.map((i) => share[i] / total);
  const Q = Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [moving[Math.floor(at / size)], moving[at % size]];
    // A cosine of an update with itself is 1, whatever rounding made of it.
    return i === j ? 1 : gram.dot({ update: i }, { update: j }) / (norms[i] * norms[j]);
  });
  const solution = minimiseOnSimplex({ size, Q, p: new Float64Array(size) }, p, {
    low: p.map((value) => Math.max(0, value - epsilon)),
    high: p.map((value) => Math.min(1, value + epsilon)),
  });
  const lambda = norms.map(() => 0);
  moving.forEach((update, k) => (lambda[update] = solution[k]));
  let squared = 0;
  solution.forEach((a, i) => solution.forEach((b, j) => (squared += a * b * Q[i * size + j])));
  return { lambda, minNorm: Math.sqrt(Math.max(0, squared)) };
}
