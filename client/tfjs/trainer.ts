/** `train` and `evaluate`, as `join` takes them, for models in TF.js layers. */
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { TributaryError } from '../../protocol/errors.js';
import type { DataContract, Task } from '../../protocol/model.js';
import type {
  EvaluateFunction,
  Params,
  TrainFunction,
  TrainRequest,
  TrainResult,
} from '../types.js';
import { prepareBackend } from './backend.js';
import { BATCH_UPDATES, createBatchUpdates } from './batch-updates.js';
import type { BatchUpdates } from './batch-updates.js';
import { checkDataset, subset } from './dataset.js';
import type { Dataset } from './dataset.js';
import { evaluateOn } from './evaluation.js';
import { getParams, setParams } from './model.js';
import { buildNetwork, lossAndGradients } from './network.js';
import type { Network } from './network.js';
import { pauses } from './pause.js';
import { randomStream, shuffle, withSeededMathRandom } from './random.js';
import type { Random } from './random.js';
import { createSgd } from './sgd.js';
import type { Sgd } from './sgd.js';

export interface TfjsOptions {
  /** Local examples, or how to get them once the task says what they must look like. */
  readonly data: Dataset | ((contract: DataContract) => Dataset | Promise<Dataset>);
  /**
   * Layers to use instead of the task's, which must have the same tensors in the same order: for
   * tasks of format `opaque`. Its own weights are neither used nor changed.
   */
  readonly model?: LayersModel;
  /** See {@link prepareBackend}. */
  readonly backend?: string;
}

/**
 * A `train` that makes the local epochs of one round: SGD as the task's training configuration
 * says, momentum starting from rest, batches drawn by the assignment's seed, the last batch of an
 * epoch as small as it comes. The same request gives the same bits on the same backend.
 *
 * Metrics: `lossBefore` (mean loss of the received model on all local data, in inference mode),
 * `loss` (mean over the last epoch, as it was trained), `learningRate`. Losses are of the data,
 * without what regularisers and the proximal term add.
 *
 * Where `batch` is among the vectors, every epoch goes through the same batches in the same order,
 * so that a batch's index means the same in each; otherwise every epoch is shuffled anew.
 *
 * @throws TributaryError `bad_model`, `bad_request` (data), `not_finite` (training diverged),
 * `missing_vector` (a family that it cannot make); the signal's reason.
 */
export function tfjsTrainer(options: TfjsOptions): TrainFunction {
  const localData = dataSource(options);
  return async (request) => {
    const { task, vectors } = request;
    const unknown = vectors.find((family) => family !== BATCH_UPDATES);
    if (unknown !== undefined)
      throw new TributaryError('missing_vector', `the TF.js trainer cannot make "${unknown}"`);
    await prepareBackend(options.backend);
    const data = await localData(task);
    const network = await buildNetwork(task, options.model);
    try {
      return await trainRound(network, data, request);
    } finally {
      network.dispose();
    }
  };
}

/**
 * An `evaluate` that reports the sums of `loss` and of the task's metrics over local examples.
 *
 * @throws as {@link tfjsTrainer}.
 */
export function tfjsEvaluator(options: TfjsOptions): EvaluateFunction {
  const localData = dataSource(options);
  return async ({ task, model, signal }) => {
    await prepareBackend(options.backend);
    const data = await localData(task);
    const network = await buildNetwork(task, options.model);
    try {
      setParams(network.model, network, model);
      return { numExamples: data.size, sums: await evaluateOn(network, data, signal) };
    } finally {
      network.dispose();
    }
  };
}

/** Gets and checks the data once a contract: reading a file in every round would be felt. */
function dataSource({ data }: TfjsOptions): (task: Task) => Promise<Dataset> {
  let known: { contract: string; dataset: Dataset } | undefined;
  return async ({ data: contract }) => {
    const key = JSON.stringify(contract);
    if (known?.contract !== key) {
      const dataset = typeof data === 'function' ? await data(contract) : data;
      checkDataset(contract, dataset);
      known = { contract: key, dataset };
    }
    return known.dataset;
  };
}

async function trainRound(
  network: Network,
  data: Dataset,
  request: TrainRequest,
): Promise<TrainResult> {
  const { config, round, signal } = request;
  const { model, tensors } = network;
  setParams(model, network, request.model);
  const lossBefore = (await evaluateOn(network, data, signal)).loss / data.size;

  const batches = Math.ceil(data.size / config.batchSize);
  const updates = request.vectors.includes(BATCH_UPDATES)
    ? createBatchUpdates(model, tensors, batches)
    : undefined;
  const learningRate = config.learningRate * config.learningRateDecay ** (round - 1);
  const weights = model.weights.filter(
    (weight, index) => weight.trainable && ['shared', 'local'].includes(tensors[index].role),
  );
  const sgd = createSgd(weights, { ...config, learningRate });
  try {
    const loss = await runEpochs({ network, data, request, sgd, updates, batches });
    const params = getParams(model, network);
    checkFinite(params);
    return {
      params,
      numExamples: data.size,
      numSteps: batches * config.epochs,
      metrics: { lossBefore, loss, learningRate },
      ...(updates ? { vectors: updates.vectors(config.epochs) } : {}),
    };
  } finally {
    sgd.dispose();
  }
}

/** The last step may have diverged without a loss to show it. */
function checkFinite(params: Params): void {
  for (const [name, values] of Object.entries(params))
    if (!values.every(Number.isFinite))
      throw new TributaryError('not_finite', `tensor "${name}" is not finite after training`);
}

interface Work {
  readonly network: Network;
  readonly data: Dataset;
  readonly request: TrainRequest;
  readonly sgd: Sgd;
  readonly updates: BatchUpdates | undefined;
  /** In one epoch. */
  readonly batches: number;
}

/** @returns the mean loss over the examples of the last epoch. */
async function runEpochs({ network, data, request, sgd, updates, batches }: Work): Promise<number> {
  const { config, seed, signal } = request;
  const { epochs, batchSize } = config;
  const order = Int32Array.from({ length: data.size }, (_, row) => row);
  const [shuffling, noise] = [randomStream(seed, 'shuffle'), randomStream(seed, 'noise')];
  const pause = pauses();
  let sum = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    if (epoch === 0 || !updates) shuffle(order, shuffling);
    sum = 0;
    for (let batch = 0; batch < batches; batch++) {
      signal.throwIfAborted();
      const rows = order.subarray(batch * batchSize, (batch + 1) * batchSize);
      const loss = trainBatch(network, sgd, subset(data, rows), noise);
      if (!Number.isFinite(loss))
        throw new TributaryError('not_finite', `the loss became ${loss} in epoch ${epoch + 1}`);
      sum += loss * rows.length;
      updates?.record(batch);
      const paused = pause();
      if (!paused) continue;
      request.progress({ fraction: (epoch * batches + batch + 1) / (epochs * batches), loss });
      await paused;
    }
  }
  request.progress({ fraction: 1, loss: sum / data.size });
  return sum / data.size;
}

/** One optimiser step. @returns the mean loss of the batch before it. */
function trainBatch(network: Network, sgd: Sgd, batch: Dataset, noise: Random): number {
  return tf.tidy(() => {
    const { loss, gradients } = withSeededMathRandom(noise, () =>
      lossAndGradients(network, batch, sgd.variables, { training: true }),
    );
    sgd.step(gradients);
    return loss;
  });
}
