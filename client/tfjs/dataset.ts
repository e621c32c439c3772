/** Local examples: what training reads, how files become it, and whether a task can use it. */
import { TributaryError } from '../../protocol/errors.js';
import { elements } from '../../protocol/model.js';
import type { DataContract } from '../../protocol/model.js';
import type { Dtype, Tensor } from '../../protocol/safetensors.js';
import { sameShape } from '../params.js';

export interface Dataset {
  /** `size` examples, row-major, each of as many values as `DataContract.features.shape` has. */
  readonly features: Float32Array;
  /** One a example: the index of its class, counted from 0, or its value. */
  readonly labels: Int32Array | Float32Array;
  readonly size: number;
}

/**
 * A dataset from the tensors `x` and `y` of a safetensors file.
 *
 * `x` is F32, taken as it is, or U8, divided by 255 so that 0 to 255 becomes 0 to 1; its shape is
 * [n, ...shape of one example] or [n, values of one example]. `y` is [n] or [n, 1] of any integer
 * type, BOOL or F32.
 *
 * @throws TributaryError `bad_request`, naming what is wrong.
 */
export function datasetOf(
  contract: DataContract,
  tensors: Readonly<Record<string, Tensor>>,
): Dataset {
  const { x, y } = tensors as Partial<typeof tensors>;
  if (!x || !y) refuse(`the file has no tensor "${x ? 'y' : 'x'}": it needs "x" and "y"`);
  const [size = 0, ...example] = x.shape;
  const wanted = contract.features.shape;
  if (!sameShape(example, wanted) && !sameShape(example, [elements(wanted)]))
    refuse(`"x" has shape [${x.shape.join(', ')}], but the task wants [n, ${wanted.join(', ')}]`);
  if (!sameShape(y.shape, [size]) && !sameShape(y.shape, [size, 1]))
    refuse(`"y" has shape [${y.shape.join(', ')}], but there are ${size} examples in "x"`);
  const dataset = {
    features: featureValues(x),
    labels: labelValues(y, contract.labels.kind),
    size,
  };
  checkDataset(contract, dataset);
  return dataset;
}

function featureValues({ dtype, data }: Tensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (dtype !== 'U8') refuse(`"x" is ${dtype}, but must be F32 or U8`);
  return scaled(data as Uint8Array);
}

/** 0 to 255 as 0 to 1. A loop: TypedArray.from with a function takes fifty times as long. */
function scaled(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = bytes[i] / 255;
  return values;
}

const LABEL_DTYPES: ReadonlySet<Dtype> = new Set<Dtype>([
  'BOOL',
  'U8',
  'I8',
  'I16',
  'U16',
  'I32',
  'U32',
  'I64',
  'U64',
  'F32',
]);

function labelValues(
  { dtype, data }: Tensor,
  kind: DataContract['labels']['kind'],
): Int32Array | Float32Array {
  if (!LABEL_DTYPES.has(dtype)) refuse(`"y" is ${dtype}, but must be integers or F32`);
  const values = Float32Array.from(data as Iterable<number | bigint>, Number);
  // Made integers only where that loses nothing, so that class 1.5 is refused by its row.
  return kind === 'class' && values.every(Number.isInteger) ? Int32Array.from(values) : values;
}

/**
 * Holds data against the contract of a task.
 *
 * @throws TributaryError `bad_request` with the first row, and column, that is wrong.
 */
export function checkDataset(contract: DataContract, dataset: Dataset): void {
  const { features, labels, size } = dataset;
  const width = elements(contract.features.shape);
  if (features.length !== size * width)
    refuse(`${size} examples of ${width} values make ${size * width}, not ${features.length}`);
  if (labels.length !== size) refuse(`${size} examples have ${labels.length} labels`);
  if (size < contract.minExamples)
    refuse(`${size} examples are too few: the task wants at least ${contract.minExamples}`);
  checkFeatures(contract, features, width);
  checkLabels(contract, labels);
}

function checkFeatures(contract: DataContract, features: Float32Array, width: number): void {
  const { min = -Infinity, max = Infinity, columns } = contract.features;
  const at = features.findIndex(
    (value) => !(value >= min && value <= max && Number.isFinite(value)),
  );
  if (at < 0) return;
  const row = Math.floor(at / width);
  const column = columns?.[at % width] ?? at % width;
  const rule = Number.isFinite(features[at]) ? `outside ${min} to ${max}` : 'not finite';
  refuse(`row ${row}, column ${column}: ${features[at]} is ${rule}`, { row, column });
}

function checkLabels(contract: DataContract, labels: Int32Array | Float32Array): void {
  const wanted = contract.labels;
  const fits =
    wanted.kind === 'class'
      ? (label: number) => Number.isInteger(label) && label >= 0 && label < wanted.classes
      : Number.isFinite;
  // Not findIndex: the two kinds of array have no common signature for it.
  for (let row = 0; row < labels.length; row++) {
    if (fits(labels[row])) continue;
    const rule = wanted.kind === 'class' ? `no class of 0 to ${wanted.classes - 1}` : 'not finite';
    const column = wanted.column ?? 'label';
    refuse(`row ${row}, column ${column}: ${labels[row]} is ${rule}`, { row, column });
  }
}

/** The examples of the rows given, in their order, copied. */
export function subset(dataset: Dataset, rows: ArrayLike<number>): Dataset {
  const width = dataset.features.length / dataset.size;
  const features = new Float32Array(rows.length * width);
  const Labels = dataset.labels instanceof Int32Array ? Int32Array : Float32Array;
  const labels = new Labels(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    if (!(Number.isInteger(row) && row >= 0 && row < dataset.size))
      refuse(`row ${row} is asked for, but there are ${dataset.size}`, { row });
    features.set(dataset.features.subarray(row * width, (row + 1) * width), i * width);
    labels[i] = dataset.labels[row];
  }
  return { features, labels, size: rows.length };
}

function refuse(problem: string, where?: TributaryError['details']): never {
  throw new TributaryError('bad_request', `data: ${problem}`, where);
}
