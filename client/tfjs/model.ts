/** TF.js models <-> what travels: a specification in JSON, and named arrays. */
import * as tf from '@tensorflow/tfjs-core';
import { models } from '@tensorflow/tfjs-layers';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { TributaryError } from '../../protocol/errors.js';
import type { ModelSpec, TensorSpec } from '../../protocol/model.js';
import { anyBackend } from './backend.js';
import './chained-ops.js';
import { checkConvolutions } from './convolutions.js';
import { checkParams, sameShape } from '../params.js';
import type { Params, Tensors } from '../params.js';
import { asTopology, seedInitializers, stableNames, zeroInitializers } from './topology.js';
import type { Json } from './topology.js';

type Layer = LayersModel['layers'][number];

/**
 * The specification of a model: its layers JSON, with stable layer names, and its tensors in the
 * order of `model.weights`, called `<layer>/<weight>`. Weights of frozen layers are `frozen`, other
 * weights that are not trained (the moving statistics of batch norm) are `buffer`.
 *
 * @throws TributaryError `bad_model` where the model cannot travel: custom layers that are not
 * registered, two layers of one name, convolutions that TF.js gets wrong.
 */
export async function modelSpecOf(model: LayersModel): Promise<ModelSpec> {
  const topology = JSON.parse(JSON.stringify(model.toJSON(null, false))) as Json;
  const spec = await specFromTopology(topology);
  checkWeights(model, spec.tensors);
  return spec;
}

/** As {@link modelSpecOf}, from layers JSON alone, such as Keras or a file has it. */
export async function specFromTopology(topology: Json): Promise<ModelSpec> {
  const body = stableNames(asTopology(topology));
  let tensors: TensorSpec[] = [];
  const model = await instantiate(zeroInitializers(body), (built) => {
    tensors = describeWeights(built);
  });
  model.dispose();
  return { format: 'tfjs-layers', body, tensors };
}

/**
 * The model of a specification. Its weights are drawn by its initializers, unseeded: call
 * {@link setParams} before using it, and `dispose()` after.
 *
 * @throws TributaryError `bad_model` where the body is no model, or its weights are not the tensors
 * of the specification, in order and shape.
 */
export async function buildModel(spec: ModelSpec): Promise<LayersModel> {
  return buildFrom(asTopology(layersBody(spec)), spec.tensors);
}

/** As {@link buildModel}, of a topology that may have been changed since. */
export async function buildFrom(
  topology: Json,
  tensors: readonly TensorSpec[],
): Promise<LayersModel> {
  return instantiate(topology, (model) => {
    checkWeights(model, tensors);
  });
}

/** The layers JSON of a specification. */
export function layersBody(spec: ModelSpec): Json {
  if (spec.format !== 'tfjs-layers')
    throw new TributaryError(
      'bad_model',
      `a model of format "${spec.format}" has no layers to build: give the trainer its model`,
    );
  return spec.body;
}

/**
 * The values that training starts from, drawn by the model's own initializers. The same seed gives
 * the same bits wherever the same backend runs; every tensor has a stream of its own.
 */
export async function initialParams(spec: ModelSpec, seed: number): Promise<Params> {
  const seeded = seedInitializers(asTopology(layersBody(spec)), seed);
  const model = await buildFrom(seeded, spec.tensors);
  try {
    return getParams(model, spec);
  } finally {
    model.dispose();
  }
}

/**
 * Sets every weight of the model. Weights go by position, so the model may call them otherwise.
 *
 * @throws TributaryError `bad_model` where a tensor is missing or has another size.
 */
export function setParams(model: LayersModel, spec: Tensors, params: Params): void {
  checkWeights(model, spec.tensors);
  checkParams(params, spec.tensors);
  tf.tidy(() => {
    model.weights.forEach((weight, index) => {
      const { name, shape } = spec.tensors[index];
      // Not weight.write: that would apply the layer's constraint to a received mean.
      variableOf(weight).assign(tf.tensor(params[name], shape, 'float32'));
    });
  });
}

/** Copies of every weight of the model, by the names of the specification. */
export function getParams(model: LayersModel, spec: Tensors): Params {
  checkWeights(model, spec.tensors);
  const entries = model.weights.map((weight, index) => {
    return [spec.tensors[index].name, readWeight(weight)] as const;
  });
  return Object.fromEntries(entries);
}

/** A copy of a weight's values. */
export function readWeight(weight: LayerVariable): Float32Array {
  // The cpu backend hands out the array that it computes with.
  return Float32Array.from(weight.read().dataSync());
}

/** The variable behind a weight, which gradients are taken of. */
export function variableOf(weight: LayerVariable): tf.Variable {
  const value: tf.Tensor = weight.read();
  if (value instanceof tf.Variable) return value as tf.Variable;
  throw new TypeError(`weight "${weight.originalName}" is no variable`);
}

/** @param check throws to refuse the model, which is then disposed of. */
async function instantiate(
  topology: Json,
  check: (model: LayersModel) => void,
): Promise<LayersModel> {
  await anyBackend();
  const model = await fromJson(topology);
  try {
    checkConvolutions(model.layers);
    check(model);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

async function fromJson(topology: Json): Promise<LayersModel> {
  try {
    return await models.modelFromJSON(topology as Parameters<typeof models.modelFromJSON>[0]);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `TF.js cannot build the model: ${reason}`;
    throw new TributaryError('bad_model', message, undefined, { cause });
  }
}

/** @throws TributaryError `bad_model` where the weights are not these tensors, in order and shape. */
function checkWeights(model: LayersModel, tensors: readonly TensorSpec[]): void {
  const { weights } = model;
  if (weights.length !== tensors.length)
    refuse(`the model has ${weights.length} weights, the specification ${tensors.length} tensors`);
  weights.forEach(({ shape, originalName }, index) => {
    const { name, shape: wanted } = tensors[index];
    if (!sameShape(shape, wanted))
      refuse(
        `weight ${index} ("${originalName}") has shape [${shape.join(', ')}], ` +
          `tensor "${name}" has [${wanted.join(', ')}]`,
      );
  });
}

function describeWeights(model: LayersModel): TensorSpec[] {
  const roles = new Map(rolesOf(model, false));
  const names = new Set<string>();
  return model.weights.map((weight) => {
    const { originalName: name, dtype } = weight;
    const shape = weight.shape.map((size) => size ?? refuse(`weight "${name}" has no fixed shape`));
    if (dtype !== 'float32') refuse(`weight "${name}" is ${dtype}, not float32`);
    if (names.has(name)) refuse(`two weights are called "${name}": give their layers other names`);
    names.add(name);
    return { name, shape, dtype, role: roles.get(weight) ?? 'shared' };
  });
}

function* rolesOf(layer: Layer, frozen: boolean): Iterable<[LayerVariable, TensorSpec['role']]> {
  const still = frozen || !layer.trainable;
  const { layers, layer: wrapped } = layer as { layers?: Layer[]; layer?: Layer };
  const inner = layers ?? (wrapped ? [wrapped] : []);
  for (const weight of layer.trainableWeights) yield [weight, 'shared'];
  for (const weight of layer.nonTrainableWeights) yield [weight, still ? 'frozen' : 'buffer'];
  // Inner layers last: a map keeps what it is told last, and they know best what is frozen.
  for (const one of inner) yield* rolesOf(one, still);
}

function refuse(problem: string): never {
  throw new TributaryError('bad_model', problem);
}
