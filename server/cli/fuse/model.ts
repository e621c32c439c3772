/** The model behind the files: roles of its tensors, and an oracle on held-out examples. */
import { parse, TributaryError } from '../../../protocol/errors.js';
import type { DataContract, LossName, ModelSpec, Task } from '../../../protocol/model.js';
import { modelSpec, task as taskSchema } from '../../../protocol/model.js';
import type { Tensor } from '../../../protocol/safetensors.js';
import type { TfjsOracle } from '../../../client/tfjs/oracle.js';
import { layoutOf } from '../../core/layout.js';
import { prepareCommonBackend } from '../backend.js';
import { readJson } from '../json-file.js';
import type { TensorFile } from './tensor-file.js';
import { named } from './tensor-file.js';
import { readBase } from './updates.js';

/** A model file as it was read: a task, a model of a task, or the layers alone. */
export interface ModelFile {
  readonly path: string;
  readonly spec: ModelSpec;
  /** The task without its model, where the file is one. */
  readonly task: Readonly<Record<string, unknown>> | null;
}

/** @throws TributaryError `bad_request`, `bad_model`, naming the file. */
export async function readModelFile(path: string): Promise<ModelFile> {
  const file = await readJson(path);
  return named(path, async () => {
    if (!isObject(file)) throw new TributaryError('bad_model', 'no task and no layers JSON');
    if (isObject(file.model)) return { path, spec: await specOf(file.model), task: file };
    return { path, spec: await specOf(file), task: null };
  });
}

async function specOf(model: Readonly<Record<string, unknown>>): Promise<ModelSpec> {
  if ('tensors' in model) return parse(modelSpec, model, 'model', 'bad_model');
  await prepareCommonBackend();
  const { specFromTopology } = await import('../../../client/tfjs/model.js');
  return specFromTopology(('body' in model ? model.body : model) as ModelSpec['body']);
}

/**
 * Loss and gradient on the tensors `x` and `y` of a file. Tensors of the model that are not shared are
 * the base's.
 *
 * @throws TributaryError `bad_request`, `bad_model`, naming the file that is wrong.
 */
export async function openOracle(
  model: ModelFile,
  proxy: TensorFile,
  base: TensorFile,
  batchSize: number,
): Promise<TfjsOracle> {
  await prepareCommonBackend();
  const [{ tfjsOracle }, { datasetOf }] = await Promise.all([
    import('../../../client/tfjs/oracle.js'),
    import('../../../client/tfjs/dataset.js'),
  ]);
  const tensors = await decoded(proxy);
  const task = await named(model.path, () => taskOf(model, tensors));
  const data = await named(proxy.path, () => datasetOf(task.data, tensors));
  const oracle = await named(model.path, () => tfjsOracle({ task, data, batchSize }));
  oracle.setBuffers(await othersOf(model.spec, base));
  return oracle;
}

async function decoded(file: TensorFile): Promise<Readonly<Record<string, Tensor>>> {
  const { decodeSafetensors } = await import('../../../protocol/safetensors.js');
  return decodeSafetensors(await file.read(0, file.bytes)).tensors;
}

async function taskOf(
  { spec, task }: ModelFile,
  tensors: Readonly<Record<string, Tensor>>,
): Promise<Task> {
  const about = task ?? (await guessed(spec, tensors));
  return parse(taskSchema, { ...about, model: spec }, 'task', 'bad_model');
}

/** What the layers and the examples say of a task: its data contract and its loss. */
async function guessed(
  spec: ModelSpec,
  { x, y }: Partial<Readonly<Record<string, Tensor>>>,
): Promise<{ name: string; data: DataContract; loss: LossName; metrics: string[] }> {
  const units = await outputUnits(spec);
  const values = y?.dtype === 'F32';
  const loss = values
    ? 'meanSquaredError'
    : units === 1
      ? 'binaryCrossentropy'
      : 'categoricalCrossentropy';
  const shape = x && x.shape.length > 1 ? x.shape.slice(1) : [1];
  const labels = values
    ? ({ kind: 'value' } as const)
    : ({ kind: 'class', classes: Math.max(2, units) } as const);
  const data = { features: { shape }, labels, minExamples: 1 };
  return { name: 'fuse', data, loss, metrics: [] };
}

async function outputUnits(spec: ModelSpec): Promise<number> {
  const { buildModel } = await import('../../../client/tfjs/model.js');
  const model = await buildModel(spec);
  try {
    return model.outputs[0].shape.at(-1) ?? 1;
  } finally {
    model.dispose();
  }
}

/** The base's values of tensors that the rule does not see. */
async function othersOf(
  { tensors }: ModelSpec,
  base: TensorFile,
): Promise<Record<string, Float32Array>> {
  const others: Record<string, Float32Array> = {};
  for (const role of ['buffer', 'local', 'frozen'] as const) {
    const layout = layoutOf(tensors, role);
    const values = Float32Array.from(await readBase(base, layout));
    for (const { name, start, length } of layout.tensors)
      others[name] = values.subarray(start, start + length);
  }
  return others;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
