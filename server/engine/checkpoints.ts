/** Checkpoints at rest: the model, and what a rule sends down with it, as safetensors blobs. */
import { Readable } from 'node:stream';
import { TributaryError } from '../../protocol/errors.js';
import type { TensorSpec } from '../../protocol/model.js';
import { elements } from '../../protocol/model.js';
import type { Tensor } from '../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { isVectorName, tensorKey } from '../../protocol/update.js';
import type { Layout } from '../core/layout.js';
import { layoutOf } from '../core/layout.js';
import type { Blob, BlobStore, StagedBlob } from '../core/ports.js';
import type { StoredBlob } from '../core/records.js';
import type { Tensors } from '../core/rules/rule.js';

export type Params = Readonly<Record<string, Float32Array>>;

export async function readAll(blob: Blob): Promise<Uint8Array> {
  return blob.read(0, blob.bytes);
}

/** Stores bytes that this process made; resolves when they are durable. */
export async function putBlob(
  blobs: Pick<BlobStore, 'stage'>,
  bytes: Uint8Array,
): Promise<StoredBlob> {
  const staged = await blobs.stage(streamOf(inPieces(bytes)), bytes.byteLength);
  await commitOrDiscard(staged);
  return { sha256: staged.sha256, bytes: staged.bytes };
}

/** What a disk without room does not take would else fill it, one copy with each attempt. */
export async function commitOrDiscard(staged: StagedBlob): Promise<void> {
  try {
    await staged.commit();
  } catch (error) {
    await staged.discard().catch(() => undefined);
    throw error;
  }
}

/** What is there already, for whoever takes a stream. */
export function streamOf<T>(items: Iterable<T>): AsyncIterable<T> {
  return Readable.from(items);
}

/** A hash takes less than 2 GiB at a time. */
const PIECE_BYTES = 16 * 1024 ** 2;

function* inPieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
    yield bytes.subarray(start, start + PIECE_BYTES);
  }
}

/** Tensors that the coordinator keeps: all but those that never leave a client. */
function kept(specs: readonly TensorSpec[]): readonly TensorSpec[] {
  return specs.filter((spec) => spec.role !== 'local');
}

/**
 * Checks a model file against the task's tensors.
 * @throws TributaryError `bad_model`, naming the tensor.
 */
export function decodeModel(bytes: Uint8Array, specs: readonly TensorSpec[]): Params {
  const { tensors } = decodeSafetensors(bytes);
  return Object.fromEntries(
    kept(specs).map((spec) => {
      if (!Object.hasOwn(tensors, spec.name)) {
        throw new TributaryError('bad_model', `the model file has no tensor "${spec.name}"`);
      }
      return [spec.name, checkTensor(spec, tensors[spec.name])];
    }),
  );
}

function checkTensor(spec: TensorSpec, tensor: Tensor): Float32Array {
  const { dtype, shape, data } = tensor;
  if (!(data instanceof Float32Array)) {
    throw new TributaryError('bad_model', `tensor "${spec.name}" is ${dtype}; it must be F32`);
  }
  if (shape.length !== spec.shape.length || shape.some((size, axis) => size !== spec.shape[axis])) {
    throw new TributaryError(
      'bad_model',
      `tensor "${spec.name}" has the shape [${shape.join(', ')}]; the task says [${spec.shape.join(', ')}]`,
    );
  }
  if (!data.every(Number.isFinite)) {
    throw new TributaryError('bad_model', `tensor "${spec.name}" has values that are not finite`);
  }
  return data;
}

/** The same parameters give the same bytes: tensors in the order of the specification. */
export function encodeModel(params: Params, specs: readonly TensorSpec[]): Uint8Array {
  const entries = kept(specs).map((spec) => {
    const data = params[spec.name];
    if (data.length !== elements(spec.shape)) {
      throw new TributaryError('internal', `tensor "${spec.name}" has ${data.length} elements`);
    }
    return [spec.name, { shape: spec.shape, data }] as const;
  });
  return encodeSafetensors(Object.fromEntries(entries));
}

/** One flat vector of the tensors in a layout. */
export function flatten(params: Params, layout: Layout): Float32Array {
  const flat = new Float32Array(layout.size);
  for (const { name, start } of layout.tensors) flat.set(params[name], start);
  return flat;
}

/** The tensors of a flat vector, as views into it. */
export function unflatten(flat: Float32Array, layout: Layout): Params {
  return Object.fromEntries(
    layout.tensors.map(({ name, start, length }) => [name, flat.subarray(start, start + length)]),
  );
}

/**
 * Stores what a rule sends down with the model: `vector/tensor` over the shared tensors, rounded to
 * float32. Null where there is nothing: clients take what they miss for zeros, so that a rule need
 * not know the model before its first round.
 *
 * @throws TributaryError `not_finite`, naming the vector; `internal` for one of another size, or with
 * a name that clients would read as another vector and tensor.
 */
export async function putBroadcast(
  blobs: BlobStore,
  vectors: Tensors,
  specs: readonly TensorSpec[],
): Promise<StoredBlob | null> {
  const names = Object.keys(vectors).sort();
  if (names.length === 0) return null;
  checkNames(names);
  const shared = layoutOf(specs, 'shared');
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  const tensors = names.flatMap((vector) => {
    const parts = unflatten(toFloat32(vector, vectors[vector], shared.size), shared);
    return Object.entries(parts).map(
      ([name, data]) => [tensorKey(vector, name), { shape: shapes.get(name)!, data }] as const,
    );
  });
  return putBlob(blobs, encodeSafetensors(Object.fromEntries(tensors)));
}

function checkNames(names: readonly string[]): void {
  const bad = names.find((name) => !isVectorName(name));
  if (bad === undefined) return;
  const message = `the rule sends "${bad}", which is no name: use letters, digits, "_", "." and "-"`;
  throw new TributaryError('internal', message);
}

function toFloat32(vector: string, values: Float64Array, size: number): Float32Array {
  if (values.length !== size) {
    const message = `the rule sends "${vector}" with ${values.length} elements; the model has ${size}`;
    throw new TributaryError('internal', message);
  }
  const rounded = Float32Array.from(values);
  if (rounded.every(Number.isFinite)) return rounded;
  throw new TributaryError('not_finite', `the rule's "${vector}" has values beyond float32`);
}
