/** What rules do with an oracle beside asking it: mean loss, mean gradient, training on it. */
import { z } from 'zod';
import { TributaryError } from '../../../../protocol/errors.js';
import type { LossOracle } from '../../ports.js';

/** Options of rules that train a model on the oracle's batches. */
export const proxyTraining = {
  learningRate: z.number().positive().default(0.05).describe('Step size on the proxy set.'),
  epochs: z
    .int()
    .nonnegative()
    .max(10_000)
    .default(20)
    .describe('Passes over the proxy set; 20 asks as much of it as FedLAW does.'),
};
export type ProxyTraining = z.infer<z.ZodObject<typeof proxyTraining>>;

/** The oracle of a round. @throws TributaryError `rule_needs` where there is none. */
export function oracleOf(rule: string, oracle: LossOracle | null): LossOracle {
  if (oracle && oracle.batches > 0) return oracle;
  const lack = oracle ? 'its oracle has no batches' : 'the run has none';
  throw new TributaryError('rule_needs', `the rule "${rule}" needs an oracle, and ${lack}`);
}

type Answer = Awaited<ReturnType<LossOracle['lossAndGrad']>>;

/** @throws TributaryError `not_finite`, naming rule and batch, where loss or gradient are not. */
export async function askOracle(
  rule: string,
  oracle: LossOracle,
  params: Float32Array,
  batch: number,
): Promise<Answer> {
  const answer = await askForLoss(rule, oracle, params, batch);
  const bad = answer.grad.find((value) => !Number.isFinite(value));
  if (bad !== undefined) refuse(rule, `a gradient with ${bad} in it on batch ${batch}`);
  return answer;
}

/** The same where the gradient will not be looked at. */
async function askForLoss(
  rule: string,
  oracle: LossOracle,
  params: Float32Array,
  batch: number,
): Promise<Answer> {
  const answer = await oracle.lossAndGrad(params, batch);
  if (!Number.isFinite(answer.loss)) refuse(rule, `the loss ${answer.loss} on batch ${batch}`);
  return answer;
}

function refuse(rule: string, what: string): never {
  const message = `the rule "${rule}" got ${what} of the proxy set: look for a client that diverged, or for a learningRate that is too high`;
  throw new TributaryError('not_finite', message);
}

/** The mean over batches. @throws TributaryError `not_finite`. */
export async function meanLoss(
  rule: string,
  oracle: LossOracle,
  params: Float32Array,
): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < oracle.batches; batch++) {
    total += (await askForLoss(rule, oracle, params, batch)).loss;
  }
  return total / oracle.batches;
}

/**
 * The same for a model that may be beyond use: Infinity where its loss is not finite, so that it ranks
 * last and does not end the round.
 */
export async function rankingLoss(
  rule: string,
  oracle: LossOracle,
  params: Float32Array,
): Promise<number> {
  try {
    return await meanLoss(rule, oracle, params);
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'not_finite') return Infinity;
    throw error;
  }
}

/** Mean loss and mean gradient over batches. @throws TributaryError `not_finite`. */
export async function meanLossAndGrad(
  rule: string,
  oracle: LossOracle,
  params: Float32Array,
): Promise<{ loss: number; grad: Float64Array }> {
  const grad = new Float64Array(params.length);
  let loss = 0;
  for (let batch = 0; batch < oracle.batches; batch++) {
    const answer = await askOracle(rule, oracle, params, batch);
    loss += answer.loss / oracle.batches;
    for (let e = 0; e < grad.length; e++) grad[e] += answer.grad[e] / oracle.batches;
  }
  return { loss, grad };
}

/**
 * How far gradient descent on the oracle's batches goes from `start`, one step a batch in their
 * order: the change of the parameters in float64, since the oracle sees them rounded to float32.
 *
 * @throws TributaryError `not_finite` where it diverges.
 */
export async function trainOnProxy(
  rule: string,
  oracle: LossOracle,
  start: Float32Array,
  { learningRate, epochs }: ProxyTraining,
): Promise<Float64Array> {
  const now = Float64Array.from(start);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let batch = 0; batch < oracle.batches; batch++) {
      const { grad } = await askOracle(rule, oracle, Float32Array.from(now), batch);
      for (let e = 0; e < now.length; e++) now[e] -= learningRate * grad[e];
    }
  }
  const change = now.map((value, e) => value - start[e]);
  // As float32, which is how rules and the model take it.
  if (change.every((value) => Number.isFinite(Math.fround(value)))) return change;
  const message = `the rule "${rule}" diverged on the proxy set: lower its learningRate`;
  throw new TributaryError('not_finite', message);
}
