/** Local data files of `tributary join --data`: CSV and safetensors. Node only. */
import { readFile, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { DataContract } from '../../protocol/model.js';
import type { TensorInput } from '../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { Dataset } from '../tfjs/dataset.js';
import { checkDataset, datasetOf } from '../tfjs/dataset.js';
import { readCsv } from './csv.js';
import { refuse } from './refuse.js';

type Reader = (path: string, contract: DataContract) => Promise<Dataset>;

const readers: Readonly<Record<string, Reader>> = {
  '.csv': fromCsv,
  '.safetensors': fromSafetensors,
};

/**
 * Reads a file of examples and holds it against a task's data contract.
 *
 * - `.csv`: a table, see `readCsv`.
 * - `.safetensors`: tensors `x` and `y`, see `datasetOf`.
 *
 * @throws TributaryError `bad_request`, or `bad_safetensors` for a file that is none; both name the
 * file and what is wrong where.
 */
export async function loadDataset(path: string, contract: DataContract): Promise<Dataset> {
  const extension = extname(path).toLowerCase();
  if (!Object.hasOwn(readers, extension)) {
    const known = Object.keys(readers).join(' or ');
    refuse(path, `"${extension}" is not a data format: use ${known}`);
  }
  try {
    return await readers[extension](path, contract);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const why = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    return refuse(path, `cannot be read: ${why}`, {}, error);
  }
}

async function fromCsv(path: string, contract: DataContract): Promise<Dataset> {
  const { dataset, lines } = await readCsv(path, contract);
  return inFile(path, lines, () => {
    checkDataset(contract, dataset);
    return dataset;
  });
}

async function fromSafetensors(path: string, contract: DataContract): Promise<Dataset> {
  const bytes = await readFile(path);
  return inFile(path, undefined, () => datasetOf(contract, decodeSafetensors(bytes).tensors));
}

/** Adds the file to an error, and the line where rows are lines. */
function inFile<T>(path: string, lines: Float64Array | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    const line = typeof error.details?.row === 'number' ? lines?.[error.details.row] : undefined;
    const place = line === undefined ? path : `${path}: line ${line}`;
    const details = { ...error.details, file: path, ...(line !== undefined && { line }) };
    throw new TributaryError(error.code, `${place}: ${error.message}`, details, { cause: error });
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

/** Writes {@link encodeDataset}'s bytes. @throws what the file system throws. */
export async function writeDataset(path: string, dataset: Dataset): Promise<void> {
  if (dataset.size === 0) refuse(path, 'there are no examples to write');
  await writeFile(path, encodeDataset(dataset));
}

/**
 * A dataset as safetensors that {@link loadDataset} reads back bit by bit: `x` as U8 where every
 * feature is one of 0/255 … 255/255 (images: a quarter of the bytes), else as F32; `y` as I32 or F32.
 */
export function encodeDataset({ features, labels, size }: Dataset): Uint8Array {
  const x: TensorInput = {
    shape: [size, features.length / size],
    data: greyValues(features) ?? features,
  };
  return encodeSafetensors({ x, y: { shape: [size], data: labels } });
}

/** The features as bytes, where reading them back as byte / 255 loses nothing. */
function greyValues(features: Float32Array): Uint8Array | undefined {
  const bytes = new Uint8Array(features.length);
  for (let i = 0; i < features.length; i++) {
    bytes[i] = Math.round(features[i] * 255);
    // Compared as it will be read: a byte forgets the sign of -0 and wraps above 255.
    if (!Object.is(Math.fround(bytes[i] / 255), features[i])) return undefined;
  }
  return bytes;
}
