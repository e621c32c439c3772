/**
 * Fisher information for the rule `fisher` (Matena and Raffel, NeurIPS 2022): the diagonal of the
 * empirical Fisher, the mean over local examples of the squared gradient of the log-likelihood of
 * their labels, at the trained parameters.
 *
 * One example at a time, since the square of a batch's mean gradient is another number. In inference
 * mode: nothing is dropped, and batch norm, which has no statistics of one example, uses its own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { TributaryError } from '../../protocol/errors.js';
import type { LossName } from '../../protocol/model.js';
import type { Params } from '../params.js';
import { subset } from './dataset.js';
import type { Dataset } from './dataset.js';
import { variableOf } from './model.js';
import { lossAndGradients } from './network.js';
import type { Network } from './network.js';
import { pauses } from './pause.js';
import { randomStream, shuffle } from './random.js';

/** The vector's name in the protocol. */
export const FISHER = 'fisher';

/** Examples that are looked at unless more or fewer are asked for: each costs a step of batch 1. */
export const FISHER_EXAMPLES = 256;

export interface FisherOptions {
  readonly loss: LossName;
  /** Draws which examples are looked at where there are more. */
  readonly seed: number;
  readonly maxExamples: number;
  readonly signal: AbortSignal;
}

/**
 * At the network's present weights.
 *
 * @returns the information of every element of the shared tensors, none negative; 0 for weights that
 * the output does not depend on.
 * @throws the signal's reason; TributaryError `not_finite`.
 */
export async function fisherInformation(
  network: Network,
  data: Dataset,
  { loss, seed, maxExamples, signal }: FisherOptions,
): Promise<Params> {
  const { model, tensors } = network;
  const shared = tensors.flatMap(({ name, role }, index) =>
    role === 'shared' ? [{ name, variable: variableOf(model.weights[index]) }] : [],
  );
  const sums = shared.map(({ variable }) => new Float64Array(variable.size));
  const rows = drawn(data.size, seed).subarray(0, maxExamples);
  const pause = pauses();
  for (const row of rows) {
    signal.throwIfAborted();
    const variables = shared.map(({ variable }) => variable);
    addSquares(sums, network, subset(data, [row]), variables);
    await pause();
  }
  const scale = likelihoodScale(loss);
  const means = shared.map(({ name }, index) => {
    const values = Float32Array.from(sums[index], (sum) => (scale * scale * sum) / rows.length);
    return [name, checked(name, values)] as const;
  });
  return Object.fromEntries(means);
}

/** All rows, in a seeded order. */
function drawn(size: number, seed: number): Int32Array {
  const rows = Int32Array.from({ length: size }, (_, row) => row);
  return shuffle(rows, randomStream(seed, FISHER));
}

function addSquares(
  sums: readonly Float64Array[],
  network: Network,
  example: Dataset,
  variables: tf.Variable[],
): void {
  tf.tidy(() => {
    const { gradients } = lossAndGradients(network, example, variables, { training: false });
    variables.forEach(({ name }, index) => {
      const gradient = (gradients as Partial<tf.NamedTensorMap>)[name];
      gradient?.dataSync().forEach((value, e) => (sums[index][e] += value * value));
    });
  });
}

/**
 * What makes a loss the negative log-likelihood, but for a constant. Cross-entropies are it; the
 * squared error is twice that of a Gaussian of variance 1.
 */
function likelihoodScale(loss: LossName): number {
  return loss === 'meanSquaredError' ? 0.5 : 1;
}

function checked(name: string, values: Float32Array): Float32Array {
  if (values.every(Number.isFinite)) return values;
  throw new TributaryError('not_finite', `the Fisher information of "${name}" is not finite`);
}
