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
  await readTileInto(blob, header, layout, vector, start, tile);
  return tile;
}

/** As {@link readTile}, into `out`. What no tensor of the layout covers is left as it is. */
async function readTileInto(
  blob: Blob,
  header: SafetensorsHeader,
  layout: Layout,
  vector: string,
  start: number,
  out: Float32Array,
): Promise<void> {
  const end = start + out.length;
  for (const tensor of layout.tensors) {
    const from = Math.max(start, tensor.start);
    const to = Math.min(end, tensor.start + tensor.length);
    if (from >= to) continue;
    const entry = header.tensors.get(tensorKey(vector, tensor.name));
    if (!entry) {
      throw new TributaryError('missing_vector', `the update has no "${vector}/${tensor.name}"`);
    }
    const offset = entry.begin + (from - tensor.start) * FLOAT_BYTES;
    await blob.readInto(offset, bytesOf(out.subarray(from - start, to - start)));
  }
}

/** The bytes of a vector in the order of the file, which is that of every machine that runs Node. */
function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
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

/** An update at rest, as rules read it: tiles of its vectors over the shared tensors. */
export interface UpdateFile extends UpdateReader {
  readonly header: SafetensorsHeader;
  readonly blob: Blob;
  /** As `read`, straight from the file into memory of the caller's: nothing is copied on the way. */
  readInto(vector: string, start: number, out: Float32Array): Promise<void>;
}

export async function openUpdate(
  blob: Blob,
  facts: UpdateFacts,
  layout: Layout,
): Promise<UpdateFile> {
  const header = await readHeader(blob);
  const vectors = vectorsOf(header, layout);
  return {
    ...facts,
    header,
    blob,
    vectors: [DELTA, ...vectors.filter((name) => name !== DELTA).sort()],
    read: (vector, start, length) => readTile(blob, header, layout, vector, start, length),
    readInto: (vector, start, out) => readTileInto(blob, header, layout, vector, start, out),
  };
}
