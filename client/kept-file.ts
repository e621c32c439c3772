/** What a client keeps, as the bytes of one safetensors file: see client/kept.ts. */
import { z } from 'zod';
import { parse, TributaryError } from '../protocol/errors.js';
import { sha256Hex } from '../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../protocol/safetensors.js';
import type { SafetensorsFile, TensorInput } from '../protocol/safetensors.js';
import { isVectorName } from '../protocol/update.js';
import type { Vectors } from './types.js';

/** Vectors that wait for the coordinator's word on the upload that they were made with. */
export interface Pending {
  readonly assignmentId: string;
  /** Of the upload. */
  readonly sha256: string;
  readonly vectors: Vectors;
}

export interface KeptFile {
  readonly vectors: Vectors;
  readonly pending: readonly Pending[];
}

/** The metadata that says which uploads the pending vectors are of, in the order of their parts. */
const PENDING_METADATA = 'tributary.pending';
const uploads = z.array(z.object({ assignmentId: z.string(), sha256: sha256Hex }));

/** @throws TributaryError `bad_request` for a name that cannot be stored. */
export function checkNames(vectors: Vectors): void {
  const bad = Object.keys(vectors).find((name) => !isVectorName(name));
  if (bad !== undefined)
    throw new TributaryError('bad_request', `keep: "${bad}" is no name for a vector`);
}

export function encodeKept({ vectors, pending }: KeptFile): Uint8Array {
  const tensors = [
    ...entriesOf('kept', vectors),
    ...pending.flatMap((each, index) => entriesOf(pendingPart(index), each.vectors)),
  ];
  const of = pending.map(({ assignmentId, sha256 }) => ({ assignmentId, sha256 }));
  return encodeSafetensors(Object.fromEntries(tensors), { [PENDING_METADATA]: JSON.stringify(of) });
}

/** @throws TributaryError `bad_safetensors` where the bytes are damaged, naming the key. */
export function decodeKept(key: string, bytes: Uint8Array): KeptFile {
  try {
    const { tensors, metadata } = decodeSafetensors(bytes);
    const text = metadata[PENDING_METADATA] as string | undefined;
    if (text === undefined) throw new TypeError(`no "${PENDING_METADATA}" in it`);
    const pending = parse(uploads, JSON.parse(text), PENDING_METADATA).map((upload, index) => ({
      ...upload,
      vectors: vectorsOf(pendingPart(index), tensors),
    }));
    return { vectors: vectorsOf('kept', tensors), pending };
  } catch (cause) {
    const message = `what was kept as "${key}" is damaged: delete it, and this client starts anew`;
    throw new TributaryError('bad_safetensors', message, undefined, { cause });
  }
}

function pendingPart(index: number): string {
  return `pending.${index}`;
}

function entriesOf(part: string, vectors: Vectors): [string, TensorInput][] {
  return Object.entries(vectors).flatMap(([vector, params]) =>
    Object.entries(params).map(([tensor, data]): [string, TensorInput] => [
      `${part}/${vector}/${tensor}`,
      { shape: [data.length], data },
    ]),
  );
}

function vectorsOf(part: string, tensors: SafetensorsFile['tensors']): Vectors {
  const vectors = new Map<string, [string, Float32Array][]>();
  for (const [key, { data }] of Object.entries(tensors)) {
    const [of, vector, ...tensor] = key.split('/');
    if (of !== part) continue;
    if (!(data instanceof Float32Array)) throw new TypeError(`"${key}" is not float32`);
    vectors.set(vector, [...(vectors.get(vector) ?? []), [tensor.join('/'), data]]);
  }
  return Object.fromEntries(
    [...vectors].map(([name, entries]) => [name, Object.fromEntries(entries)]),
  );
}
