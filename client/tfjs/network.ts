/** A task's model together with its loss and metrics: what the trainer and the oracle compute with. */
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { TributaryError } from '../../protocol/errors.js';
import type { Task, TensorSpec } from '../../protocol/model.js';
import type { Dataset } from './dataset.js';
import { lossOf, metricsOf } from './loss.js';
import type { Loss, MetricSum } from './loss.js';
import { buildFrom, layersBody } from './model.js';
import { sameShape } from '../params.js';
import {
  asTopology,
  splitOutputActivation,
  stableNames,
  unseedDropout,
  zeroInitializers,
} from './topology.js';
import type { Json, LayerJson } from './topology.js';

type Layer = LayersModel['layers'][number];

export interface Network {
  /** Without its output activation. Its weights are zeros until they are set. */
  readonly model: LayersModel;
  /** The weights of `model`, in order. */
  readonly tensors: readonly TensorSpec[];
  /** Shape of one example. */
  readonly inputShape: readonly number[];
  readonly loss: Loss;
  readonly metrics: ReadonlyMap<string, MetricSum>;
  dispose(): void;
}

/**
 * @param given has the layers, where the task does not say them (format `opaque`) or the caller
 * wants others of the same tensors. Only its layers are used; it is not changed.
 * @throws TributaryError `bad_model` where model, data contract, loss and metrics do not fit.
 */
export async function buildNetwork(task: Task, given?: LayersModel): Promise<Network> {
  const loss = lossOf(task.loss, task.data.labels);
  const metrics = metricsOf(task);
  const body = given ? topologyOf(given) : layersBody(task.model);
  const { topology, activation } = splitActivation(body, loss);
  if (activation !== 'linear' && activation !== loss.activation)
    refuse(
      `loss "${task.loss}" needs an output that is ${loss.activation} or linear, not ${activation}`,
    );
  const { tensors } = task.model;
  const model = await buildFrom(zeroInitializers(unseedDropout(topology)), tensors);
  const network: Network = {
    ...{ model, tensors, loss, metrics, inputShape: task.data.features.shape },
    dispose: () => void model.dispose(),
  };
  try {
    checkEnds(network);
  } catch (error) {
    model.dispose();
    throw error;
  }
  stillFrozenStatistics(model.layers, false);
  return network;
}

function topologyOf(model: LayersModel): Json {
  return stableNames(asTopology(JSON.parse(JSON.stringify(model.toJSON(null, false))) as Json));
}

/** A regression's activation stays: its loss is of the activated output. */
function splitActivation(body: Json, loss: Loss): { topology: LayerJson; activation: string } {
  if (loss.activation === 'linear') return { topology: asTopology(body), activation: 'linear' };
  return splitOutputActivation(asTopology(body));
}

function checkEnds({ model, inputShape, loss }: Network): void {
  if (model.inputs.length !== 1) refuse(`the model has ${model.inputs.length} inputs, not one`);
  if (model.outputs.length !== 1) refuse(`the model has ${model.outputs.length} outputs, not one`);
  const input = model.inputs[0].shape.slice(1);
  const fits =
    input.length === inputShape.length &&
    input.every((size, axis) => size === null || size === inputShape[axis]);
  if (!fits)
    refuse(
      `the model takes examples of shape [${input.join(', ')}], ` +
        `the data contract has [${inputShape.join(', ')}]`,
    );
  const output = model.outputs[0].shape.slice(1);
  if (!sameShape(output, [loss.units]))
    refuse(`the model's output has shape [${output.join(', ')}], the loss needs [${loss.units}]`);
}

/**
 * A frozen batch norm uses its moving statistics and leaves them, as in Keras. TF.js would go on
 * changing them, though frozen tensors never travel and every client would drift off.
 */
function stillFrozenStatistics(layers: readonly Layer[], frozen: boolean): void {
  for (const layer of layers) {
    const still = frozen || !layer.trainable;
    const { layers: inner, layer: wrapped } = layer as { layers?: Layer[]; layer?: Layer };
    stillFrozenStatistics(inner ?? (wrapped ? [wrapped] : []), still);
    if (!still || layer.getClassName() !== 'BatchNormalization') continue;
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => call(inputs, { ...kwargs, training: false });
  }
}

/** The outputs before the activation, [n, units]. */
export function forward(network: Network, x: tf.Tensor, training: boolean): tf.Tensor2D {
  return network.model.apply(x, { training }) as tf.Tensor2D;
}

/** The features of a dataset as one tensor, [n, ...shape of one example]. */
export function inputOf({ inputShape }: Network, { features, size }: Dataset): tf.Tensor {
  return tf.tensor(features, [size, ...inputShape], 'float32');
}

/** Mean loss and its gradient with respect to each of `variables`, by name. For use in a tidy. */
export function lossAndGradients(
  network: Network,
  batch: Dataset,
  variables: tf.Variable[],
  mode: { readonly training: boolean },
): { loss: number; gradients: tf.NamedTensorMap } {
  const { model, loss } = network;
  const x = inputOf(network, batch);
  const targets = loss.targets(batch.labels);
  let value = NaN;
  const { grads } = tf.variableGrads(() => {
    const mean = loss.mean(forward(network, x, mode.training), targets);
    [value] = mean.dataSync();
    // What layers add of their own (weight decay) steers training, and is no loss on the data.
    const penalties = mode.training ? model.calculateLosses() : [];
    return penalties.reduce((sum: tf.Scalar, penalty) => tf.add(sum, penalty), mean);
  }, variables);
  return { loss: value, gradients: grads };
}

function refuse(problem: string): never {
  throw new TributaryError('bad_model', problem);
}
