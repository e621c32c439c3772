/** Bytes that anybody may have written -> named tensors. */
import { TributaryError } from '../errors.js';
import { arrayKinds, isDtype } from './dtypes.js';
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
import type {
  NamedEntry,
  SafetensorsFile,
  SafetensorsHeader,
  Tensor,
  TensorEntry,
} from './format.js';
import { quote } from '../text.js';
import { JsonScanner } from './json.js';

/**
 * Length of the header in bytes, from the first 8 bytes of a file. A streaming reader then collects
 * so many bytes more and gives them to {@link parseHeader}.
 *
 * @throws TributaryError `bad_safetensors` where fewer than 8 bytes are there or the header is longer
 * than `maxHeaderBytes`.
 */
export function headerLength(prefix: Uint8Array, maxHeaderBytes = MAX_HEADER_BYTES): number {
  if (prefix.byteLength < PREFIX_BYTES)
    refuse(
      `the file ends after ${prefix.byteLength} bytes; ${PREFIX_BYTES} give the header's length`,
    );
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  const length = Number(view.getBigUint64(0, true));
  if (!(length <= maxHeaderBytes))
    refuse(`a header of ${length} bytes; at most ${maxHeaderBytes} are read`);
  return length;
}

/**
 * Reads and checks a header without the data: every tensor has the bytes that its dtype and shape
 * need, and the tensors cover the data section without hole, overlap or remainder.
 *
 * @param json The bytes of the header, without the 8 before it.
 * @param fileBytes Length of the whole file.
 * @throws TributaryError `bad_safetensors`, naming the tensor and what is wrong with it.
 */
export function parseHeader(json: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = PREFIX_BYTES + json.byteLength;
  if (!(dataStart <= fileBytes))
    refuse(`a header of ${json.byteLength} bytes in a file of ${fileBytes}`);
  const { entries, metadata } = readHeader(decodeUtf8(json));
  return { tensors: placeTensors(entries, dataStart, fileBytes - dataStart), metadata, dataStart };
}

/**
 * Reads a whole file. `data` of each tensor is a view of `bytes` where the machine can align it
 * there, else a copy: do not change `bytes` afterwards.
 *
 * @throws TributaryError `bad_safetensors`, naming the tensor and what is wrong with it.
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  maxHeaderBytes = MAX_HEADER_BYTES,
): SafetensorsFile {
  const dataStart = PREFIX_BYTES + headerLength(bytes, maxHeaderBytes);
  if (dataStart > bytes.byteLength)
    refuse(`a header of ${dataStart - PREFIX_BYTES} bytes in a file of ${bytes.byteLength}`);
  const header = parseHeader(bytes.subarray(PREFIX_BYTES, dataStart), bytes.byteLength);
  const tensors = Object.create(null) as Record<string, Tensor>;
  for (const [name, { dtype, shape, begin, end }] of header.tensors)
    tensors[name] = { dtype, shape, data: viewElements(dtype, bytes.subarray(begin, end)) };
  return { tensors, metadata: header.metadata };
}

function readHeader(text: string): { entries: NamedEntry[]; metadata: Record<string, string> } {
  // The format wants "{" first; a reader that skips whitespace before it would take other files.
  if (!text.startsWith('{')) refuse('the header does not begin with "{"');
  const entries: NamedEntry[] = [];
  const metadata = Object.create(null) as Record<string, string>;
  const json = new JsonScanner(text, refuseAt);
  json.object((name) => {
    if (name === METADATA_KEY) json.object((key) => (metadata[key] = json.string()));
    else entries.push(readEntry(json, name));
  });
  json.end();
  return { entries, metadata };
}

function readEntry(json: JsonScanner, name: string): NamedEntry {
  const read: { dtype?: string; shape?: number[]; offsets?: number[] } = {};
  json.object((field) => {
    if (field === 'dtype') read.dtype = json.string();
    else if (field === 'shape') read.shape = json.wholeNumbers(MAX_RANK);
    else if (field === 'data_offsets') read.offsets = json.wholeNumbers(2);
    else json.fail('not a field of safetensors');
  });
  const { dtype, shape, offsets } = read;
  if (dtype === undefined) refuse('has no dtype', name);
  if (shape === undefined) refuse('has no shape', name);
  if (offsets?.length !== 2) refuse('has no data_offsets [begin, end]', name);
  if (!isDtype(dtype)) refuse(`unknown dtype ${quote(dtype)}`, name);
  return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
}

/** Checks that the tensors cover the data section exactly, and moves offsets to count from the file's start. */
function placeTensors(
  entries: readonly NamedEntry[],
  dataStart: number,
  dataBytes: number,
): ReadonlyMap<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  let covered = 0;
  for (const { name, dtype, shape, begin, end } of entries.toSorted(byOffset)) {
    const offsets = `data_offsets [${begin}, ${end}]`;
    if (end < begin) refuse(`${offsets} end before they begin`, name);
    if (end > dataBytes) refuse(`${offsets} in a data section of ${dataBytes} bytes`, name);
    const needed = byteLength(dtype, shape, name);
    if (end - begin !== needed)
      refuse(
        `${offsets} hold ${end - begin} bytes; ${dtype} ${showShape(shape)} needs ${needed}`,
        name,
      );
    if (begin < covered)
      refuse(`${offsets} overlap the tensor before, which ends at ${covered}`, name);
    if (begin > covered) refuse(`${offsets} leave a hole after byte ${covered}`, name);
    const size = arrayKinds[dtype].BYTES_PER_ELEMENT;
    if (begin % size !== 0)
      refuse(`${offsets} are not aligned to the ${size} bytes of ${dtype}`, name);
    tensors.set(name, { dtype, shape, begin: dataStart + begin, end: dataStart + end });
    covered = end;
  }
  if (covered !== dataBytes) refuse(`${dataBytes - covered} bytes after the last tensor`);
  return tensors;
}

function byOffset(a: NamedEntry, b: NamedEntry): number {
  return a.begin - b.begin || a.end - b.end;
}

function viewElements(dtype: Dtype, bytes: Uint8Array): TensorData {
  const Kind = arrayKinds[dtype];
  const size = Kind.BYTES_PER_ELEMENT;
  // Received buffers start anywhere in a pool. `slice` would not copy here: a Node Buffer's is a view.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new Kind(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TributaryError('bad_safetensors', 'the header is not UTF-8', undefined, { cause });
  }
}

/** Turns the keys that lead to a problem in the header into words. */
function refuseAt(problem: string, path: readonly string[]): never {
  if (path.length === 0) refuse(`header: ${problem}`);
  const [name, ...inner] = path;
  const told = [...inner.map(quote), problem].join(': ');
  if (name === METADATA_KEY) refuse(`metadata: ${told}`);
  refuse(told, name);
}
