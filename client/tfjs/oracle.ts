/** Loss and gradient on a fixed set of examples: a proxy set, or a target client's validation set. */
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { TributaryError } from '../../protocol/errors.js';
import type { Task } from '../../protocol/model.js';
import type { Params } from '../types.js';
import { prepareBackend } from './backend.js';
import { checkDataset } from './dataset.js';
import type { Dataset } from './dataset.js';
import { consecutive } from './evaluation.js';
import { setParams, variableOf } from './model.js';
import { buildNetwork, lossAndGradients } from './network.js';
import type { Network } from './network.js';
import { sharedTensors, unflatten } from '../params.js';

export interface TfjsOracleOptions {
  readonly task: Task;
  readonly data: Dataset;
  readonly batchSize: number;
  /** Values of the tensors that are not `shared`, where the model has such (batch norm, frozen). */
  readonly buffers?: Params;
  /** As of `tfjsTrainer`. */
  readonly model?: LayersModel;
  /** See {@link prepareBackend}. */
  readonly backend?: string;
}

export interface TfjsOracle {
  /** Backend and version, e.g. `tfjs-wasm-4.22.0-simd`: what else would round differently. */
  readonly name: string;
  /** Parts that the examples are taken in, in their order; the last may be smaller. */
  readonly batches: number;
  /**
   * Mean loss of one batch and its gradient, in inference mode: batch norm uses `buffers`, nothing
   * is dropped, regularisers count nothing.
   *
   * @param params the `shared` tensors one after the other, as the specification orders them; so is
   * the gradient.
   * @throws TributaryError `bad_model` for another length, `bad_request` for a batch that is not
   * there, `not_finite` where the loss or the gradient is not.
   */
  lossAndGrad(params: Float32Array, batch: number): Promise<{ loss: number; grad: Float32Array }>;
  /** Exchanges the tensors that are not `shared`: batch-norm statistics move with every round. */
  setBuffers(buffers: Params): void;
  dispose(): void;
}

/** @throws TributaryError `bad_model`, `bad_request` where task, data or buffers do not fit. */
export async function tfjsOracle(options: TfjsOracleOptions): Promise<TfjsOracle> {
  const { task, data, batchSize } = options;
  checkDataset(task.data, data);
  const backend = await prepareBackend(options.backend);
  const network = await buildNetwork(task, options.model);
  const batches = [...consecutive(data, batchSize)];
  const shared = sharedTensors(network.tensors);
  let buffers: Params = options.buffers ?? {};
  return {
    name: `tfjs-${backend.name}-${backend.version}`,
    batches: batches.length,
    lossAndGrad: async (params, index) => {
      if (!(index in batches))
        throw new TributaryError('bad_request', `batch ${index} of ${batches.length} is not there`);
      // Somebody else in this process may have chosen another one since.
      await prepareBackend(backend.name);
      setParams(network.model, network, { ...buffers, ...unflatten(params, shared) });
      return lossAndGrad(network, batches[index], params.length);
    },
    setBuffers: (values) => void (buffers = values),
    dispose: () => {
      network.dispose();
    },
  };
}

function lossAndGrad(
  network: Network,
  batch: Dataset,
  length: number,
): { loss: number; grad: Float32Array } {
  const { model, tensors } = network;
  const weights = model.weights.filter((_, index) => tensors[index].role === 'shared');
  const variables = weights.map(variableOf);
  const grad = new Float32Array(length);
  const loss = tf.tidy(() => {
    const result = lossAndGradients(network, batch, variables, { training: false });
    let offset = 0;
    for (const { name, size } of variables) {
      // A weight that the loss does not depend on has no gradient, which is zeros.
      const gradient = (result.gradients as Partial<tf.NamedTensorMap>)[name];
      if (gradient) grad.set(gradient.dataSync(), offset);
      offset += size;
    }
    return result.loss;
  });
  if (!Number.isFinite(loss) || !grad.every(Number.isFinite))
    throw new TributaryError('not_finite', 'the loss or its gradient is not finite');
  return { loss, grad };
}
