/** A safetensors file on disk of which only the header is held: tensors are read a stretch at a time. */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { TributaryError } from '../../../protocol/errors.js';
import type { FloatDtype, SafetensorsHeader, TensorEntry } from '../../../protocol/safetensors.js';
import {
  decodeFloats,
  headerLength,
  isFloat,
  parseHeader,
  PREFIX_BYTES,
} from '../../../protocol/safetensors.js';

export interface TensorFile {
  readonly path: string;
  readonly header: SafetensorsHeader;
  readonly bytes: number;
  /** Device and inode: two paths may be one file. */
  readonly identity: string;
  /** Any bytes of the file. @throws TributaryError `bad_request` where they cannot be read. */
  read(start: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A tensor of numbers that can be fused. */
export interface FloatEntry extends TensorEntry {
  readonly dtype: FloatDtype;
}

export function isFloatEntry(entry: TensorEntry): entry is FloatEntry {
  return isFloat(entry.dtype);
}

export function elementBytes({ dtype }: FloatEntry): number {
  return { F16: 2, BF16: 2, F32: 4, F64: 8 }[dtype];
}

/** @throws TributaryError `bad_request`, `bad_safetensors`, naming the file. */
export async function openTensorFile(path: string): Promise<TensorFile> {
  const handle = await onFile(path, () => open(path, 'r'));
  try {
    const { size, dev, ino } = await handle.stat();
    const read = (start: number, length: number): Promise<Uint8Array> =>
      readExactly(handle, path, start, length);
    const header = await named(path, () => readHeader(size, read));
    return {
      ...{ path, header, bytes: size, identity: `${dev}:${ino}`, read },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readHeader(size: number, read: TensorFile['read']): Promise<SafetensorsHeader> {
  const length = headerLength(await read(0, Math.min(size, PREFIX_BYTES)));
  const there = Math.max(0, size - PREFIX_BYTES);
  if (length > there) {
    const message = `a header of ${length} bytes in a file of ${size}`;
    throw new TributaryError('bad_safetensors', message);
  }
  return parseHeader(await read(PREFIX_BYTES, length), size);
}

async function readExactly(
  handle: FileHandle,
  path: string,
  start: number,
  length: number,
): Promise<Uint8Array> {
  const out = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await onFile(path, () =>
      handle.read(out, done, length - done, start + done),
    );
    // It was as long as its header says when it was opened.
    if (bytesRead === 0)
      throw new TributaryError('bad_request', `${path} was cut while being read`);
    done += bytesRead;
  }
  return out;
}

/** Elements `start` to `start + length` of a tensor. */
export async function readFloats(
  file: TensorFile,
  entry: FloatEntry,
  start: number,
  length: number,
): Promise<Float64Array> {
  const size = elementBytes(entry);
  return decodeFloats(entry.dtype, await file.read(entry.begin + start * size, length * size));
}

/** Says which file an error is about. */
export async function named<T>(path: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    throw new TributaryError(error.code, `${path}: ${error.message}`, error.details, {
      cause: error,
    });
  }
}

async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TributaryError('bad_request', `cannot read ${path}: ${why}`, undefined, { cause });
  }
}
