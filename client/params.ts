/** The values of a model: checks, files, and the flat vector that oracles take. */
import { TributaryError } from '../protocol/errors.js';
import { elements } from '../protocol/model.js';
import type { TensorSpec } from '../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../protocol/safetensors.js';
import type { Params } from './types.js';

export type { Params } from './types.js';

/** A model specification, or what of it counts here. */
export interface Tensors {
  readonly tensors: readonly TensorSpec[];
}

/**
 * Whether `params` has the tensors, each with as many elements as its shape says. Others beside
 * them are let through: a checkpoint may hold more than one reader needs.
 *
 * @throws TributaryError `bad_model`, naming the first tensor that is wrong.
 */
export function checkParams(params: Params, tensors: readonly TensorSpec[]): void {
  for (const { name, shape } of tensors) {
    const values: unknown = Object.hasOwn(params, name) ? params[name] : undefined;
    if (values === undefined) refuse(name, 'is missing');
    if (!(values instanceof Float32Array)) refuse(name, 'is not a Float32Array');
    if (values.length !== elements(shape))
      refuse(name, `has ${values.length} values, but its shape is [${shape.join(', ')}]`);
  }
}

/**
 * A safetensors file of the tensors of a model, in their order.
 *
 * @param params needs the tensors that are listed and may have others, which are left out.
 * @throws TributaryError `bad_model` where a tensor is missing or has another size.
 */
export function encodeParams(
  { tensors }: Tensors,
  params: Params,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  checkParams(params, tensors);
  const entries = tensors.map(({ name, shape }) => {
    return [name, { dtype: 'F32' as const, shape, data: params[name] }] as const;
  });
  return encodeSafetensors(Object.fromEntries(entries), metadata);
}

/**
 * The tensors of a model from a safetensors file: exactly those that are listed, in their shapes.
 *
 * @throws TributaryError `bad_safetensors` for a file that is none, `bad_model` for a file of
 * another model.
 */
export function decodeParams({ tensors }: Tensors, bytes: Uint8Array): Params {
  const file = decodeSafetensors(bytes).tensors;
  const entries = tensors.map(({ name, shape }) => {
    if (!Object.hasOwn(file, name)) refuse(name, 'is missing in the file');
    const { data, dtype, shape: found } = file[name];
    if (!(data instanceof Float32Array)) refuse(name, `is ${dtype}, not F32`);
    if (!sameShape(found, shape))
      refuse(name, `has shape [${found.join(', ')}], not [${shape.join(', ')}]`);
    return [name, data] as const;
  });
  const known = new Set(tensors.map((tensor) => tensor.name));
  const other = Object.keys(file).find((name) => !known.has(name));
  if (other !== undefined) refuse(other, 'is in the file, but not in the model');
  return Object.fromEntries(entries);
}

/** The `shared` tensors, which rules see, in the order of the specification. */
export function sharedTensors(tensors: readonly TensorSpec[]): readonly TensorSpec[] {
  return tensors.filter((tensor) => tensor.role === 'shared');
}

/** The tensors of an update's delta, in the same order; local and frozen ones stay. */
export function deltaTensors(tensors: readonly TensorSpec[]): readonly TensorSpec[] {
  return tensors.filter(({ role }) => role === 'shared' || role === 'buffer');
}

/** One tensor after the other, in the order given. */
export function flatten(params: Params, tensors: readonly TensorSpec[]): Float32Array {
  checkParams(params, tensors);
  const flat = new Float32Array(countElements(tensors));
  let offset = 0;
  for (const { name } of tensors) {
    flat.set(params[name], offset);
    offset += params[name].length;
  }
  return flat;
}

/**
 * The inverse of {@link flatten}. The arrays are views of `flat`, not copies.
 *
 * @throws TributaryError `bad_model` where the length is not that of the tensors together.
 */
export function unflatten(flat: Float32Array, tensors: readonly TensorSpec[]): Params {
  const total = countElements(tensors);
  if (flat.length !== total)
    throw new TributaryError(
      'bad_model',
      `${flat.length} parameters were given for tensors of ${total} together`,
    );
  let offset = 0;
  const entries = tensors.map(({ name, shape }) => {
    const begin = offset;
    offset += elements(shape);
    return [name, flat.subarray(begin, offset)] as const;
  });
  return Object.fromEntries(entries);
}

export function sameShape(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

function countElements(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((total, { shape }) => total + elements(shape), 0);
}

function refuse(tensor: string, problem: string): never {
  throw new TributaryError('bad_model', `tensor "${tensor}" ${problem}`, { tensor });
}
