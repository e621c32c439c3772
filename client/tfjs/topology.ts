/**
 * The layers JSON of a model (Keras' format, as `LayersModel.toJSON` writes it), and the changes
 * that are made to it before a model is built from it. All of them are pure: JSON in, JSON out.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { ModelSpec } from '../../protocol/model.js';
import { tensorSeed } from './random.js';

export type Json = ModelSpec['body'];
export type JsonObject = Record<string, Json>;

/** One layer, or a model, which is a layer too. */
export interface LayerJson extends JsonObject {
  class_name: string;
  config: JsonObject;
}

const MODEL_CLASSES = new Set(['Sequential', 'Model', 'Functional', 'Container']);
/** Initializers that draw nothing. */
const CONSTANT_INITIALIZERS = new Set(['Zeros', 'Ones', 'Constant', 'Identity']);

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws TributaryError `bad_model` where `body` is no layers JSON. */
export function asTopology(body: Json): LayerJson {
  if (isLayer(body) && MODEL_CLASSES.has(body.class_name)) return body;
  if (isObject(body) && isObject(body.modelTopology)) return asTopology(body.modelTopology);
  if (isObject(body) && isObject(body.model_config)) return asTopology(body.model_config);
  throw new TributaryError(
    'bad_model',
    'the body of a tfjs-layers model must be the JSON of LayersModel.toJSON()',
  );
}

/**
 * TF.js names layers by how many it has made in this process (`dense_Dense7`). Such names become
 * `dense`, `dense_1`, … by position, so that the same model has the same tensor names everywhere.
 * Names that somebody chose stay.
 */
export function stableNames(topology: LayerJson): LayerJson {
  const taken = new Set<string>(chosenNames(topology));
  const model = structuredClone(topology);
  model.config.name = freeName('model', taken);
  renameLayers(model, taken);
  return model;
}

function* chosenNames(model: LayerJson): Iterable<string> {
  for (const layer of layersOf(model)) {
    if (typeof layer.config.name === 'string' && !automaticName(layer)) yield layer.config.name;
    for (const inner of innerLayers(layer)) yield* chosenNames(wrap(inner));
    if (MODEL_CLASSES.has(layer.class_name)) yield* chosenNames(layer);
  }
}

function renameLayers(model: LayerJson, taken: Set<string>): void {
  const renamed = new Map<string, string>();
  for (const layer of layersOf(model)) {
    const base = automaticName(layer);
    if (base) {
      const name = freeName(base, taken);
      if (typeof layer.config.name === 'string') renamed.set(layer.config.name, name);
      layer.config.name = name;
      if ('name' in layer) layer.name = name;
    }
    for (const inner of innerLayers(layer)) renameLayers(wrap(inner), taken);
    if (MODEL_CLASSES.has(layer.class_name)) renameLayers(layer, taken);
  }
  for (const layer of layersOf(model))
    if (layer.inbound_nodes) renameReferences(layer.inbound_nodes, renamed);
  for (const key of ['input_layers', 'output_layers'])
    if (model.config[key]) renameReferences(model.config[key], renamed);
}

/** References are arrays `[layer name, node index, tensor index, …]`, nested in arrays. */
function renameReferences(references: Json, renamed: ReadonlyMap<string, string>): void {
  if (!Array.isArray(references)) return;
  const [first] = references;
  if (typeof first === 'string') references[0] = renamed.get(first) ?? first;
  else for (const inner of references) renameReferences(inner, renamed);
}

/** What a layer is called by position, or undefined where somebody chose its name. */
function automaticName({ class_name: kind, config }: LayerJson): string | undefined {
  const base = snakeCase(kind);
  if (typeof config.name !== 'string') return base;
  const prefix = { InputLayer: 'input', Sequential: 'sequential_' }[kind] ?? `${base}_${kind}`;
  const automatic =
    config.name.startsWith(prefix) && /^\d+$/.test(config.name.slice(prefix.length));
  const model = MODEL_CLASSES.has(kind) && /^(model|functional|container)_?\d+$/.test(config.name);
  return automatic || model ? base : undefined;
}

function freeName(base: string, taken: Set<string>): string {
  let name = base;
  for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
  taken.add(name);
  return name;
}

/** As TF.js makes layer names of class names: `SeparableConv2D` -> `separable_conv2d`. */
function snakeCase(name: string): string {
  const words = name.replace(/(.)([A-Z][a-z0-9]+)/g, '$1_$2');
  return words.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}

function layersOf({ config }: LayerJson): LayerJson[] {
  return Array.isArray(config.layers) ? config.layers.filter(isLayer) : [];
}

/** Layers inside a wrapper (Bidirectional, TimeDistributed) and the cells of an RNN. */
function innerLayers({ config }: LayerJson): LayerJson[] {
  const cells = Array.isArray(config.cells) ? config.cells : [];
  return [config.layer, config.cell, ...cells].filter(isLayer);
}

/** A model of one layer, so that the same walk serves layers in models and in wrappers. */
function wrap(layer: LayerJson): LayerJson {
  return { class_name: 'Model', config: { layers: [layer] } };
}

function isLayer(value: Json | undefined): value is LayerJson {
  return isObject(value) && typeof value.class_name === 'string' && isObject(value.config);
}

/**
 * Gives every initializer without a seed one of its own, which depends on `seed` and on where in
 * the model it is.
 */
export function seedInitializers(topology: LayerJson, seed: number): LayerJson {
  return editInitializers(topology, (initializer, path) => {
    const layer = isLayer(initializer) ? initializer : fromIdentifier(initializer);
    // Seed 0 counts as none: TF.js takes it for "not given" and would ask Math.random.
    if (CONSTANT_INITIALIZERS.has(layer.class_name) || layer.config.seed) return layer;
    return { ...layer, config: { ...layer.config, seed: tensorSeed(seed, path) } };
  });
}

/** For models whose weights are set right after: drawing a million normals takes a second. */
export function zeroInitializers(topology: LayerJson): LayerJson {
  return editInitializers(topology, () => ({ class_name: 'Zeros', config: {} }));
}

/** An initializer by its short name, such as `glorot_uniform`. */
function fromIdentifier(identifier: Json): LayerJson {
  if (typeof identifier !== 'string')
    throw new TributaryError('bad_model', `${JSON.stringify(identifier)} is no initializer`);
  const words = identifier.split('_').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return { class_name: words.join('').replace(/^Lecun/, 'LeCun'), config: {} };
}

function editInitializers(
  topology: LayerJson,
  edit: (initializer: Json, path: string) => Json,
): LayerJson {
  return editEntries(topology, '', (key, value, path) => {
    return key.endsWith('_initializer') && value !== null ? edit(value, path) : undefined;
  }) as LayerJson;
}

/**
 * Removes the seeds of dropout layers. With a seed, TF.js drops the same units in every step; the
 * trainer seeds each step instead.
 */
export function unseedDropout(topology: LayerJson): LayerJson {
  return editEntries(topology, '', (key, value) => {
    if (key !== 'config' || !isObject(value) || !('rate' in value && 'seed' in value))
      return undefined;
    return { ...value, seed: null };
  }) as LayerJson;
}

/** A copy in which `edit` has replaced entries of objects; undefined keeps one and looks inside. */
function editEntries(
  value: Json,
  path: string,
  edit: (key: string, value: Json, path: string) => Json | undefined,
): Json {
  if (Array.isArray(value))
    return value.map((item, index) => editEntries(item, `${path}/${index}`, edit));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => {
    const where = `${path}/${key}`;
    return [key, edit(key, item, where) ?? editEntries(item, where, edit)] as const;
  });
  return Object.fromEntries(entries);
}

/**
 * The model without the activation of its output layer, and the name of that activation, `linear`
 * where there was none. Losses are computed from logits, which is exact where a probability would
 * have been rounded to 0 or 1.
 */
export function splitOutputActivation(topology: LayerJson): {
  topology: LayerJson;
  activation: string;
} {
  const copy = structuredClone(topology);
  const layer = outputLayer(copy);
  let activation = 'linear';
  if (layer.class_name === 'Softmax') {
    activation = 'softmax';
    layer.class_name = 'Activation';
    layer.config = { name: layer.config.name, activation: 'linear' };
  } else if (typeof layer.config.activation === 'string' && !isRecurrent(layer)) {
    activation = layer.config.activation;
    layer.config.activation = 'linear';
  }
  return { topology: copy, activation };
}

function outputLayer(model: LayerJson): LayerJson {
  const layers = layersOf(model);
  const last =
    model.class_name === 'Sequential'
      ? layers.at(-1)
      : layers.find(({ config }) => config.name === onlyOutput(model));
  if (!last) throw new TributaryError('bad_model', 'the model has no output layer');
  return MODEL_CLASSES.has(last.class_name) ? outputLayer(last) : last;
}

function onlyOutput({ config }: LayerJson): Json | undefined {
  const outputs = Array.isArray(config.output_layers) ? config.output_layers : [];
  // One output is written [[name, 0, 0]] or, by newer versions of Keras, [name, 0, 0].
  const references = typeof outputs[0] === 'string' ? [outputs] : outputs;
  if (references.length !== 1)
    throw new TributaryError('bad_model', `the model has ${references.length} outputs, not one`);
  const [reference] = references;
  return Array.isArray(reference) ? reference[0] : undefined;
}

/** The `activation` of a recurrent layer is part of its recurrence. */
function isRecurrent({ config }: LayerJson): boolean {
  return 'recurrent_activation' in config || 'recurrent_initializer' in config;
}
