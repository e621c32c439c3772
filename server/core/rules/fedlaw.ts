/**
 * FedLAW. Li, Lin, Shang, Wu: "Revisiting Weighted Aggregation in Federated Learning with Neural
 * Networks", ICML 2023.
 *
 *     new = gamma * sum_i lambda_i w_i = gamma * w + sum_i gamma lambda_i D_i
 *
 * lambda (how much each client counts) and gamma (how much the model shrinks, a regulariser) are
 * learned in every round on a small proxy set. Only inner products of the oracle's gradient with
 * the updates are needed, so K + 1 numbers are trained, not a model. Batches are taken in the
 * oracle's order, without shuffling, so that a round can be replayed.
 *
 * Use it where clients differ much and about 200 class-balanced proxy examples can be had: it beats
 * FedAvg most in the early rounds. Never measure on the proxy set.
 *
 * It breaks where the proxy set is not like the data that counts, and hazard: gamma is unbounded.
 * 1.45 was seen in a first round, and with 4 of 10 clients on random labels learning both collapsed
 * (75.2 against FedAvg's 86.5) while learning lambda alone reached 91.5. Set `gammaMax` (1, say)
 * or `learn: lambda` where clients may be that bad. A client so bad that a mixture with it has no
 * finite loss ends the round (`not_finite`).
 */
import { z } from 'zod';
import { askOracle, meanLoss } from './combination/proxy.js';
import type { CombinationContext } from './families/combination.js';
import { combinationRule } from './families/combination.js';
import type { Workspace } from './families/workspace.js';
import { coherence, cosines, shrinkRatio, withCriticalPoint } from './fedlaw/analytics.js';
import { descent } from './fedlaw/descent.js';
import type { Mixture } from './fedlaw/mixture.js';
import { parametrisations } from './fedlaw/mixture.js';
import type { Coefficients } from './rule.js';

const options = z.strictObject({
  parametrisation: z
    .enum(['exp', 'quad'])
    .default('exp')
    .describe(
      'exp: lambda = softmax(x), gamma = e^g. quad: lambda_i = x_i^2 / sum x^2, gamma = g^2.',
    ),
  initialWeights: z
    .enum(['examples', 'uniform'])
    .optional()
    .describe('Lambda at the start; by default examples (FedAvg) for exp and uniform for quad.'),
  learn: z.enum(['both', 'lambda', 'gamma', 'none']).default('both'),
  gamma: z
    .number()
    .positive()
    .default(1)
    .describe('Gamma at the start; fixed where it is not learned.'),
  gammaMax: z.number().positive().optional().describe('Gamma never exceeds it. Off by default.'),
  serverOptimizer: z.enum(['adam', 'sgd']).default('adam'),
  learningRate: z.number().positive().default(0.005),
  beta1: z.number().min(0).lt(1).default(0.5),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().positive().default(1e-8),
  epochs: z.int().nonnegative().max(10_000).default(20).describe('Passes over the proxy set.'),
});
type Options = z.infer<typeof options>;

const needs = { oracle: true } as const;
type X = Workspace<typeof needs>;

export const fedlaw = combinationRule({
  name: 'fedlaw',
  summary: "Learns each client's share, and how much the model shrinks, on a small proxy set.",
  paper:
    'Li et al., ICML 2023, "Revisiting Weighted Aggregation in Federated Learning with Neural Networks"',
  options,
  needs,
  needed: ({ learn }) => (learn === 'none' ? {} : needs),
  async combine(x, ctx) {
    const start = startingMixture(x, ctx.options);
    if (ctx.options.learn === 'none') return report(x, ctx, start, {});
    const proxyLossBefore = await proxyLoss(x, start);
    const learned = await learn(x, ctx.options, start);
    const proxyLossAfter = await proxyLoss(x, learned);
    return report(x, ctx, learned, { proxyLossBefore, proxyLossAfter });
  },
});

function coefficientsOf({ gamma, lambda }: Mixture): Coefficients {
  return { model: gamma, updates: lambda.map((share) => gamma * share) };
}

function capped({ gamma, lambda }: Mixture, { gammaMax = Infinity }: Options): Mixture {
  return { gamma: Math.min(gamma, gammaMax), lambda };
}

function startingMixture({ updates }: X, o: Options): Mixture {
  const byExamples =
    (o.initialWeights ?? (o.parametrisation === 'exp' ? 'examples' : 'uniform')) === 'examples';
  const counts = updates.map(({ numExamples }) => (byExamples ? numExamples : 1));
  const total = counts.reduce((sum, count) => sum + count, 0);
  return capped({ gamma: o.gamma, lambda: counts.map((count) => count / total) }, o);
}

/** Walks `epochs` times over the oracle's batches, one step a batch. */
async function learn(x: X, o: Options, start: Mixture): Promise<Mixture> {
  const parametrisation = parametrisations[o.parametrisation];
  const point = parametrisation.start(start);
  const gammaAt = point.length - 1;
  const step = descent(o, point.length);
  for (let epoch = 0; epoch < o.epochs; epoch++) {
    for (let batch = 0; batch < x.oracle.batches; batch++) {
      const params = await x.at(coefficientsOf(capped(parametrisation.mixture(point), o)));
      const { grad } = await askOracle('fedlaw', x.oracle, params, batch);
      const slopes = await x.dot(grad);
      step(point, learnable(parametrisation.gradient(point, slopes), o.learn));
      // Projected after every step, so that lambda is learned at the gamma that is used.
      if (o.gammaMax) point[gammaAt] = parametrisation.limited(point[gammaAt], o.gammaMax);
    }
  }
  return capped(parametrisation.mixture(point), o);
}

/** Without the directions that are not to be learned. */
function learnable(gradient: Float64Array, which: Options['learn']): Float64Array {
  const gammaAt = gradient.length - 1;
  if (which === 'lambda') gradient[gammaAt] = 0;
  if (which === 'gamma') gradient.fill(0, 0, gammaAt);
  return gradient;
}

async function proxyLoss(x: X, mixture: Mixture): Promise<number> {
  return meanLoss('fedlaw', x.oracle, await x.at(coefficientsOf(mixture)));
}

async function report(
  x: X,
  { round, state, model }: CombinationContext<Options>,
  mixture: Mixture,
  losses: Readonly<Record<string, number>>,
) {
  const [gram] = await x.gram('model');
  const modelNorm = Math.sqrt((await x.dot(model)).model);
  const cosine = cosines(gram, x.updates.length);
  const mean = coherence(cosine);
  const ratio = shrinkRatio(mixture, gram, modelNorm);
  const next = withCriticalPoint(state, round, mean);
  const { criticalPoint } = next.values;
  return {
    coefficients: coefficientsOf(mixture),
    state: next,
    matrices: { cosine },
    diagnostics: {
      gamma: mixture.gamma,
      ...losses,
      ...(mean !== null && { coherence: mean }),
      ...(ratio !== null && { shrinkRatio: ratio }),
      ...(typeof criticalPoint === 'number' && { criticalPoint }),
    },
  };
}
