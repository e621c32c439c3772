/** `train` and `evaluate`, as `join` takes them, for models in TF.js layers. */
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
import { checkDataset } from './dataset.js';
import type { Dataset } from './dataset.js';
import { CONTROL, driftCorrection } from './drift.js';
import { evaluateOn } from './evaluation.js';
import { FISHER, FISHER_EXAMPLES, fisherInformation } from './fisher.js';
import { getParams, setParams } from './model.js';
import { buildNetwork } from './network.js';
import type { Network } from './network.js';
import { createSgd } from './sgd.js';
import { runSteps } from './steps.js';

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
  /** Examples that Fisher information is measured on, where a rule asks for it; 256 by default. */
  readonly fisherExamples?: number;
}

/**
 * A `train` that makes the local epochs, or steps, of one round: SGD as the task's training
 * configuration says, momentum starting from rest, batches drawn by the assignment's seed, the last
 * batch of an epoch as small as it comes. The same request gives the same bits on the same backend.
 * It has the clients' halves of FedProx, SCAFFOLD and FedDyn.
 *
 * Metrics: `lossBefore` (mean loss of the received model on all local data, in inference mode),
 * `loss` (mean over the last epoch, as it was trained), `learningRate`. Losses are of the data,
 * without what regularisers, the proximal term and corrections add.
 *
 * Where `batch` is among the vectors, every epoch goes through the same batches in the same order,
 * so that a batch's index means the same in each; otherwise every epoch is shuffled anew.
 *
 * @throws TributaryError `bad_request` for options that make no sense; from `train` also `bad_model`,
 * `bad_request` (data, or a training configuration that makes no sense), `not_finite` (training
 * diverged), `missing_vector` (a family that it cannot make); the signal's reason.
 */
export function tfjsTrainer(options: TfjsOptions): TrainFunction {
  checkExamples(options);
  const localData = dataSource(options);
  return async (request) => {
    const { task } = request;
    checkVectors(request);
    await prepareBackend(options.backend);
    const data = await localData(task);
    const network = await buildNetwork(task, options.model);
    try {
      return await trainRound(network, data, request, options);
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

/** The mean over no examples would be NaN, and refused where nobody sees why. */
function checkExamples({ fisherExamples = FISHER_EXAMPLES }: TfjsOptions): void {
  if (Number.isInteger(fisherExamples) && fisherExamples >= 1) return;
  const message = `fisherExamples: ${fisherExamples} is no whole number of 1 or more`;
  throw new TributaryError('bad_request', message);
}

function checkVectors({ vectors, config }: TrainRequest): void {
  const makes = [BATCH_UPDATES, FISHER, ...(config.controlVariates ? [CONTROL] : [])];
  const unknown = vectors.find((family) => !makes.includes(family));
  if (unknown !== undefined)
    throw new TributaryError('missing_vector', `the TF.js trainer cannot make "${unknown}"`);
  if (config.steps !== undefined && vectors.includes(BATCH_UPDATES))
    throw new TributaryError(
      'bad_request',
      'training.steps: the updates of batches are averaged over epochs, so give epochs',
    );
}

async function trainRound(
  network: Network,
  data: Dataset,
  request: TrainRequest,
  { fisherExamples = FISHER_EXAMPLES }: TfjsOptions,
): Promise<TrainResult> {
  const { config, round, signal } = request;
  const { model, tensors } = network;
  const drift = driftCorrection(request, tensors);
  setParams(model, network, request.model);
  const lossBefore = (await evaluateOn(network, data, signal)).loss / data.size;

  const batches = Math.ceil(data.size / config.batchSize);
  const numSteps = config.steps ?? batches * config.epochs;
  const updates = request.vectors.includes(BATCH_UPDATES)
    ? createBatchUpdates(model, tensors, batches)
    : undefined;
  const learningRate = config.learningRate * config.learningRateDecay ** (round - 1);
  const weights = model.weights.flatMap((weight, index) => {
    const { name, role } = tensors[index];
    if (!weight.trainable || !['shared', 'local'].includes(role)) return [];
    return [{ weight, offset: drift.offsets.get(name) }];
  });
  const sgd = createSgd(weights, { ...config, learningRate });
  try {
    const loss = await runSteps({ network, data, request, sgd, updates, batches, numSteps });
    const params = getParams(model, network);
    checkFinite(params);
    const left = drift.results({ params, numSteps, learningRate });
    const vectors = {
      ...left.vectors,
      ...updates?.vectors(config.epochs),
      ...(await informationOf(network, data, request, fisherExamples)),
    };
    return {
      params,
      numExamples: data.size,
      numSteps,
      metrics: { lossBefore, loss, learningRate },
      ...left,
      ...(Object.keys(vectors).length > 0 ? { vectors } : {}),
    };
  } finally {
    sgd.dispose();
  }
}

/** Of the model as it is now, trained; nothing where the rule does not ask for it. */
async function informationOf(
  network: Network,
  data: Dataset,
  { task, vectors, seed, signal }: TrainRequest,
  maxExamples: number,
): Promise<Record<string, Params>> {
  if (!vectors.includes(FISHER)) return {};
  const asked = { loss: task.loss, seed, maxExamples, signal };
  return { [FISHER]: await fisherInformation(network, data, asked) };
}

/** The last step may have diverged without a loss to show it. */
function checkFinite(params: Params): void {
  for (const [name, values] of Object.entries(params))
    if (!values.every(Number.isFinite))
      throw new TributaryError('not_finite', `tensor "${name}" is not finite after training`);
}
