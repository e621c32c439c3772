/** A spooled update, read in tiles. */
import { TributaryError } from '../../protocol/errors.js';
import type { SafetensorsHeader } from '../../protocol/safetensors.js';
import { headerLength, parseHeader } from '../../protocol/safetensors.js';
import { DELTA, tensorKey } from '../../protocol/update.js';
import type { Layout } from '../core/layout.js';
import type { Blob } from '../core/ports.js';
import type { UpdateFacts, UpdateReader } from '../core/rules/rule.js';

const LENGTH_BYTES = 8;
const FLOAT_BYTES = 4;

/** Reads only the header of a safetensors blob. @throws TributaryError `bad_safetensors`. */
export async function readHeader(blob: Blob): Promise<SafetensorsHeader> {
  if (blob.bytes < LENGTH_BYTES) {
    throw new TributaryError('bad_safetensors', `the file has ${blob.bytes} bytes and no header`);
  }
  const length = headerLength(await blob.read(0, LENGTH_BYTES));
  if (LENGTH_BYTES + length > blob.bytes) {
    throw new TributaryError('bad_safetensors', 'the header is longer than the file');
  }
  return parseHeader(await blob.read(LENGTH_BYTES, length), blob.bytes);
}

/** Elements `start` to `start + length` of a vector that is flat over a layout. */
export async function readTile(
  blob: Blob,
  header: SafetensorsHeader,
  layout: Layout,
  vector: string,
  start: number,
  length: number,
): Promise<Float32Array> {
  const tile = new Float32Array(length);
  const bytes = new Uint8Array(tile.buffer);
  for (const tensor of layout.tensors) {
    const from = Math.max(start, tensor.start);
    const to = Math.min(start + length, tensor.start + tensor.length);
    if (from >= to) continue;
    const entry = header.tensors.get(tensorKey(vector, tensor.name));
    if (!entry) {
      throw new TributaryError('missing_vector', `the update has no "${vector}/${tensor.name}"`);
    }
    const offset = entry.begin + (from - tensor.start) * FLOAT_BYTES;
    bytes.set(await blob.read(offset, (to - from) * FLOAT_BYTES), (from - start) * FLOAT_BYTES);
  }
  return tile;
}

/** The vectors of an update by name: `delta`, and the auxiliary ones. */
export function vectorsOf(header: SafetensorsHeader, layout: Layout): string[] {
  const first = layout.tensors[0]?.name ?? '';
  const suffix = tensorKey('', first);
  return (
    [...header.tensors.keys()]
      .filter((key) => key.endsWith(suffix))
      .map((key) => key.slice(0, -suffix.length))
      // Else `delta/dense/kernel` would make "delta/dense" a vector over a tensor "kernel".
      .filter((name) => !name.includes('/'))
  );
}

/** An update as rules read it: tiles of its vectors over the shared tensors. */
export async function openUpdate(
  blob: Blob,
  facts: UpdateFacts,
  layout: Layout,
): Promise<UpdateReader & { readonly header: SafetensorsHeader; readonly blob: Blob }> {
  const header = await readHeader(blob);
  const vectors = vectorsOf(header, layout);
  return {
    ...facts,
    header,
    blob,
    vectors: [DELTA, ...vectors.filter((name) => name !== DELTA).sort()],
    read: (vector, start, length) => readTile(blob, header, layout, vector, start, length),
  };
}
