/** The fused model, in the widths and the order of the base, put in its place in one move. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TributaryError } from '../../../protocol/errors.js';
import { decodeFloats, encodeFloat } from '../../../protocol/safetensors.js';
import { syncDirectory } from '../../adapters/files.js';
import { tiles } from '../../core/layout.js';
import { isWrittenInPlace } from '../in-place.js';
import type { FloatEntry, TensorFile } from './tensor-file.js';
import { elementBytes, isFloatEntry } from './tensor-file.js';

/** Bytes that are copied at a time. */
const CHUNK = 1 << 20;

export interface Written {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Where the result may not go: over a file that it is made of, which would be gone if this failed
 * half-way, and not be there to try another rule.
 *
 * @throws TributaryError `bad_request`.
 */
export async function checkOut(out: string, inputs: readonly TensorFile[]): Promise<void> {
  const present = await stat(out).catch(() => null);
  if (!present) return;
  if (present.isDirectory()) refuse(`--out ${out} is a folder: give the name of a file`);
  const identity = `${present.dev}:${present.ino}`;
  const input = inputs.find((file) => file.identity === identity);
  if (input) refuse(`--out ${out} would overwrite the input ${input.path}: give another name`);
}

/**
 * Writes base + delta, tensor by tensor; what has no delta is copied. Each number is rounded to the
 * width of the base once, from float64; where the delta is 0, the base's bits are kept.
 *
 * @param deltas by tensor
 * @throws TributaryError `not_finite` naming the tensor, `bad_request` where it cannot be written.
 */
export async function writeFused(
  out: string,
  base: TensorFile,
  deltas: ReadonlyMap<string, Float64Array>,
): Promise<Written> {
  try {
    if (!(await isWrittenInPlace(out))) return await replace(out, base, deltas);
    return await writeTo(out, base, deltas);
  } catch (cause) {
    if (cause instanceof TributaryError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TributaryError('bad_request', `cannot write ${out}: ${why}`, undefined, { cause });
  }
}

async function replace(
  out: string,
  base: TensorFile,
  deltas: ReadonlyMap<string, Float64Array>,
): Promise<Written> {
  const temporary = `${out}.${process.pid}.tmp`;
  try {
    const written = await writeTo(temporary, base, deltas, (handle) => handle.sync());
    await rename(temporary, out);
    await syncDirectory(dirname(out));
    return written;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeTo(
  path: string,
  base: TensorFile,
  deltas: ReadonlyMap<string, Float64Array>,
  finish?: (handle: FileHandle) => Promise<void>,
): Promise<Written> {
  const handle = await open(path, 'w');
  try {
    const hash = createHash('sha256');
    for await (const chunk of content(base, deltas)) {
      hash.update(chunk);
      await writeAll(handle, chunk);
    }
    await finish?.(handle);
    return { bytes: base.bytes, sha256: hash.digest('hex') };
  } finally {
    await handle.close();
  }
}

/** A write may be cut short by a full disk without an error. */
async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.byteLength;) {
    const { bytesWritten } = await handle.write(chunk, done);
    if (bytesWritten === 0) throw new Error('the disk takes no more');
    done += bytesWritten;
  }
}

/** The file from its first byte to its last. Shapes and widths are the base's, so the header is, too. */
async function* content(
  base: TensorFile,
  deltas: ReadonlyMap<string, Float64Array>,
): AsyncGenerator<Uint8Array> {
  yield* copied(base, 0, base.header.dataStart);
  for (const [name, entry] of base.header.tensors) {
    const delta = deltas.get(name);
    if (!delta || !isFloatEntry(entry)) yield* copied(base, entry.begin, entry.end);
    else yield* moved(base, name, entry, delta);
  }
}

async function* copied(base: TensorFile, begin: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = begin; at < end; at += CHUNK) yield base.read(at, Math.min(CHUNK, end - at));
}

async function* moved(
  base: TensorFile,
  name: string,
  entry: FloatEntry,
  delta: Float64Array,
): AsyncGenerator<Uint8Array> {
  const size = elementBytes(entry);
  for (const { start, length } of tiles(delta.length)) {
    const bytes = await base.read(entry.begin + start * size, length * size);
    const values = decodeFloats(entry.dtype, bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < length; i++) {
      const change = delta[start + i];
      if (change !== 0) encodeFloat(entry.dtype, view, i, values[i] + change);
    }
    checkFits(name, entry, bytes, start);
    yield bytes;
  }
}

/** float16 ends at 65504: what was finite in float64 may be too great for the base's width. */
function checkFits(name: string, entry: FloatEntry, bytes: Uint8Array, start: number): void {
  const at = decodeFloats(entry.dtype, bytes).findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const message = `element ${start + at} of the fused "${name}" does not fit ${entry.dtype}`;
  throw new TributaryError('not_finite', message);
}

function refuse(problem: string): never {
  throw new TributaryError('bad_request', problem);
}
