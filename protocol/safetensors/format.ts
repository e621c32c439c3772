/** What the reader and the writer of safetensors share: types, limits, sizes, the error. */
import { TributaryError } from '../errors.js';
import { arrayKinds } from './dtypes.js';
import type { Dtype, TensorData } from './dtypes.js';
import { clip, quote } from '../text.js';

export interface Tensor {
  readonly dtype: Dtype;
  /** `[]` for a scalar. A dimension may be 0. */
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor to write. The dtype may be left out, except for a Uint16Array. */
export type TensorInput = Omit<Tensor, 'dtype'> & { readonly dtype?: Dtype | undefined };

/** Where a tensor lies: `begin` (included) to `end` (not), in bytes from the start of the file. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their data, so that a streaming reader meets them in this order. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Offset of the data section from the start of the file, in bytes. */
  readonly dataStart: number;
}

export interface SafetensorsFile {
  /** Without a prototype, since a tensor may be called `constructor`. */
  readonly tensors: Record<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes before the header: its length. */
export const PREFIX_BYTES = 8;

/**
 * The longest header that is read or written: 4 MiB, room for more than 40,000 tensors. The reference
 * library reads 100 MB, which is more than a coordinator should parse for a client that it has not
 * yet heard a number from.
 */
export const MAX_HEADER_BYTES = 4 * 1024 * 1024;

/** Most dimensions of a tensor: as many as NumPy has. */
export const MAX_RANK = 64;

export const METADATA_KEY = '__metadata__';

/** An entry as the header has it: offsets count from the start of the data section. */
export interface NamedEntry extends TensorEntry {
  readonly name: string;
}

/** Bytes of a tensor. Refuses what is no shape, and sizes that a double cannot count exactly. */
export function byteLength(dtype: Dtype, shape: readonly number[], name: string): number {
  let bytes = arrayKinds[dtype].BYTES_PER_ELEMENT;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0)
      refuse(`shape ${showShape(shape)}: ${size} is not a whole number of 0 or more`, name);
    bytes *= size;
    if (!Number.isSafeInteger(bytes))
      refuse(`shape ${showShape(shape)} has 2^53 bytes or more`, name);
  }
  return bytes;
}

/** @throws TributaryError `bad_safetensors`, about one tensor where its name is given. */
export function refuse(problem: string, tensor?: string): never {
  if (tensor === undefined) throw new TributaryError('bad_safetensors', problem);
  const name = quote(tensor);
  throw new TributaryError('bad_safetensors', `tensor ${name}: ${problem}`, {
    tensor: name.slice(1, -1),
  });
}

export function showShape(shape: readonly number[]): string {
  return clip(`[${shape.join(', ')}]`);
}
