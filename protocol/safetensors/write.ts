/** Named tensors -> bytes, the same on every machine. */
import { arrayKinds, inferDtype, isDtype } from './dtypes.js';
import type { Dtype, TensorData } from './dtypes.js';
import {
  byteLength,
  MAX_HEADER_BYTES,
  MAX_RANK,
  METADATA_KEY,
  PREFIX_BYTES,
  refuse,
  showShape,
} from './format.js';
import type { NamedEntry, TensorInput } from './format.js';
import { isWellFormed, quote } from '../text.js';

/** The data section starts at a multiple of this, as in the files of the reference library. */
const DATA_ALIGNMENT = 8;
const SPACE = 0x20;

/**
 * Writes a file that every safetensors library reads. The bytes depend on the content and on the
 * order of the keys, on nothing else. Tensors are laid out from the largest element size to the
 * smallest, which aligns each of them, and in the order of the keys where the size is the same.
 *
 * @throws TributaryError `bad_safetensors` where a shape and its data do not agree, a dtype is missing
 * or does not fit its array, or a name cannot be written.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, TensorInput>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const placed = layOut(tensors);
  const header = headerBytes(placed, metadata);
  const dataStart = PREFIX_BYTES + header.byteLength;
  const bytes = new Uint8Array(dataStart + (placed.at(-1)?.end ?? 0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  bytes.set(header, PREFIX_BYTES);
  for (const { data, begin } of placed)
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), dataStart + begin);
  return bytes;
}

interface PlacedTensor extends NamedEntry {
  readonly data: TensorData;
}

/** Checks the tensors and gives each its place in the data section. */
function layOut(tensors: Readonly<Record<string, TensorInput>>): PlacedTensor[] {
  const checked = Object.entries(tensors).map(([name, tensor]) => {
    const dtype = checkInput(name, tensor);
    return { name, dtype, shape: tensor.shape, data: tensor.data };
  });
  checked.sort((a, b) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  let offset = 0;
  return checked.map((tensor) => {
    const begin = offset;
    offset += tensor.data.byteLength;
    return { ...tensor, begin, end: offset };
  });
}

function checkInput(name: string, tensor: TensorInput): Dtype {
  const { shape, data } = tensor;
  const array = data[Symbol.toStringTag];
  const dtype = tensor.dtype ?? inferDtype(data);
  if (name === METADATA_KEY) refuse('the name is kept for metadata', name);
  if (!isWellFormed(name)) refuse('the name has half of a surrogate pair', name);
  if (dtype === undefined) refuse(`state the dtype of its ${array}`, name);
  if (!isDtype(dtype)) refuse(`unknown dtype ${quote(dtype)}`, name);
  if (arrayKinds[dtype].name !== array) refuse(`${dtype} is not written from a ${array}`, name);
  if (shape.length > MAX_RANK) refuse(`more than ${MAX_RANK} dimensions`, name);
  const needed = byteLength(dtype, shape, name);
  if (data.byteLength !== needed)
    refuse(`data of ${data.byteLength} bytes; ${dtype} ${showShape(shape)} needs ${needed}`, name);
  return dtype;
}

function headerBytes(
  placed: readonly PlacedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Written member by member: an object would move "0" to the front and take "__proto__" amiss.
  const members = placed.map(({ name, dtype, shape, begin, end }) =>
    member(name, { dtype, shape, data_offsets: [begin, end] }),
  );
  if (Object.keys(metadata).length > 0) members.unshift(member(METADATA_KEY, checkText(metadata)));
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const padded = new Uint8Array(Math.ceil(json.byteLength / DATA_ALIGNMENT) * DATA_ALIGNMENT);
  if (padded.byteLength > MAX_HEADER_BYTES)
    refuse(
      `the header would have ${padded.byteLength} bytes; at most ${MAX_HEADER_BYTES} are read`,
    );
  padded.fill(SPACE);
  padded.set(json);
  return padded;
}

function member(key: string, value: unknown): string {
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
}

function checkText(metadata: Readonly<Record<string, unknown>>): typeof metadata {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') refuse(`metadata ${quote(key)}: is not a string`);
    if (!isWellFormed(key) || !isWellFormed(value))
      refuse(`metadata ${quote(key)}: has half of a surrogate pair`);
  }
  return metadata;
}
