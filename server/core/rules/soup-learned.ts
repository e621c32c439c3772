/**
 * Learned soup. Wortsman et al.: "Model soups: averaging weights of multiple fine-tuned models
 * improves accuracy without increasing inference time", ICML 2022, appendix I.
 *
 *     new = sum_i lambda_i w_i,   lambda = softmax(x)
 *
 * x is learned by Adam on the oracle's batches, from a uniform start; learning rate and epochs are
 * those of the authors' code. (They also learn a temperature of the outputs, which the model that
 * comes out does not carry; it is left out.) It is FedLAW without its gamma: the model is not shrunk.
 *
 * Use it where models differ in worth by degrees, and a held-out set of some hundreds is there. It
 * breaks by fitting that set when it is small, and by stopping early: with few batches, 5 epochs
 * hardly leave the uniform soup, so raise `epochs` or `learningRate`. A model so bad that a mean with
 * it has no finite loss ends the round (`not_finite`); `soup-greedy` leaves it out.
 */
import { z } from 'zod';
import { askOracle, meanLoss } from './combination/proxy.js';
import { combinationRule } from './families/combination.js';
import type { Workspace } from './families/workspace.js';
import { descent } from './fedlaw/descent.js';
import type { Mixture } from './fedlaw/mixture.js';
import { parametrisations } from './fedlaw/mixture.js';
import type { Coefficients } from './rule.js';

const options = z.strictObject({
  learningRate: z.number().positive().default(0.05),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().positive().default(1e-8),
  epochs: z.int().nonnegative().max(10_000).default(5).describe('Passes over the proxy set.'),
});
type Options = z.infer<typeof options>;

const needs = { oracle: true } as const;
type X = Workspace<typeof needs>;
const { exp: softmax } = parametrisations;

export const soupLearned = combinationRule({
  name: 'soup-learned',
  summary: 'A mean of models whose shares are learned on held-out data.',
  paper:
    'Wortsman et al., ICML 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time"',
  options,
  needs,
  async combine(x, { options: o }) {
    const uniform = { gamma: 1, lambda: x.updates.map(() => 1 / x.updates.length) };
    const proxyLossBefore = await proxyLoss(x, uniform);
    const learned = await learn(x, o, uniform);
    return {
      coefficients: coefficientsOf(learned),
      diagnostics: {
        proxyLossBefore,
        proxyLossAfter: await proxyLoss(x, learned),
        largestShare: Math.max(...learned.lambda),
      },
    };
  },
});

function coefficientsOf({ lambda }: Mixture): Coefficients {
  return { model: 1, updates: lambda };
}

async function learn(x: X, o: Options, start: Mixture): Promise<Mixture> {
  const point = softmax.start(start);
  const step = descent({ ...o, serverOptimizer: 'adam' }, point.length);
  for (let epoch = 0; epoch < o.epochs; epoch++) {
    for (let batch = 0; batch < x.oracle.batches; batch++) {
      const params = await x.at(coefficientsOf(softmax.mixture(point)));
      const { grad } = await askOracle('soup-learned', x.oracle, params, batch);
      const gradient = softmax.gradient(point, await x.dot(grad));
      // The last number is FedLAW's gamma, which stays 1 here.
      gradient[gradient.length - 1] = 0;
      step(point, gradient);
    }
  }
  return softmax.mixture(point);
}

async function proxyLoss(x: X, mixture: Mixture): Promise<number> {
  return meanLoss('soup-learned', x.oracle, await x.at(coefficientsOf(mixture)));
}
