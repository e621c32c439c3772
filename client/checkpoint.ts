/** The global model as it comes from the coordinator: fetched, held against its hash, decoded. */
import { TributaryError } from '../protocol/errors.js';
import type { Assignment } from '../protocol/messages.js';
import type { TensorSpec } from '../protocol/model.js';
import type { SafetensorsFile } from '../protocol/safetensors.js';
import { decodeSafetensors } from '../protocol/safetensors.js';
import { tensorKey } from '../protocol/update.js';
import { sha256Of } from './digest.js';
import type { CoordinatorHttp } from './http.js';
import type { Params, Vectors } from './types.js';

/** A damaged file is fetched so many times before it is refused for good. */
const MAX_DAMAGED = 3;

export type CheckpointReference = Assignment['checkpoint'];

/** Repeats an attempt as `retry` does; `worthRepeating` narrows what is repeated. */
export type Repeat = <T>(
  attempt: () => Promise<T>,
  worthRepeating: (error: unknown) => boolean,
) => Promise<T>;

/**
 * Fetches bytes until they have the hash.
 *
 * @throws TributaryError `wrong_hash` after the third file with another one; the signal's reason.
 */
export function fetchVerified(
  http: CoordinatorHttp,
  { path, sha256, bytes: size }: Pick<CheckpointReference, 'path' | 'sha256'> & { bytes?: number },
  repeat: Repeat,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  let damaged = 0;
  const attempt = async () => {
    const options = { fresh: damaged > 0, ...(size === undefined ? {} : { maxBytes: size }) };
    const bytes = await http.getBytes(path, signal, options);
    const found = await sha256Of(bytes);
    if (found === sha256) return bytes;
    damaged++;
    throw new TributaryError(
      'wrong_hash',
      `${path}: ${bytes.byteLength} bytes with sha256 ${found}; announced was ${sha256}`,
    );
  };
  return repeat(attempt, () => damaged < MAX_DAMAGED);
}

/**
 * The named tensors of a file, as views of it. Tensors that are not asked for are passed over: a rule
 * may send more down with the model.
 *
 * @throws TributaryError `bad_safetensors`; `bad_model` where a tensor is missing or has another
 * dtype or shape.
 */
export function readParams(file: Uint8Array, specs: readonly TensorSpec[]): Params {
  const { tensors } = decodeSafetensors(file);
  return Object.fromEntries(specs.map((spec) => [spec.name, readTensor(tensors, spec)]));
}

function readTensor(
  tensors: SafetensorsFile['tensors'],
  { name, shape }: TensorSpec,
): Float32Array {
  const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
  if (!(tensor?.data instanceof Float32Array))
    throw new TributaryError('bad_model', `the received file has no F32 tensor "${name}"`);
  if (tensor.shape.join() !== shape.join())
    throw new TributaryError(
      'bad_model',
      `the received file: "${name}" has shape [${tensor.shape.join(', ')}]; ` +
        `the task says [${shape.join(', ')}]`,
    );
  return tensor.data;
}

/**
 * The vectors of a file that has them as `vector/tensor`, over these tensors.
 *
 * @throws TributaryError as {@link readParams}.
 */
export function readVectors(file: Uint8Array, specs: readonly TensorSpec[]): Vectors {
  const { tensors } = decodeSafetensors(file);
  const names = new Set(Object.keys(tensors).map((key) => key.slice(0, key.indexOf('/'))));
  const vectors = [...names].map((vector) => {
    const params = specs.map(({ name, ...spec }) => {
      const key = tensorKey(vector, name);
      return [name, readTensor(tensors, { ...spec, name: key })] as const;
    });
    return [vector, Object.fromEntries(params)] as const;
  });
  return Object.fromEntries(vectors);
}

/** Arrays of its own, for a function that may train in place. */
export function copyParams(params: Params): Params {
  return Object.fromEntries(Object.entries(params).map(([name, data]) => [name, data.slice()]));
}

/** The same of every vector. */
export function copyVectors(vectors: Vectors): Vectors {
  return Object.fromEntries(
    Object.entries(vectors).map(([name, params]) => [name, copyParams(params)]),
  );
}
