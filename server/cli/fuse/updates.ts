/** Model files as updates: a delta is the file minus the base, made a tile at a time. */
import { TributaryError } from '../../../protocol/errors.js';
import { DELTA } from '../../../protocol/update.js';
import { VectorScan, checkMeasure, isMeasure } from '../../core/admission.js';
import type { Kernels } from '../../core/kernels/kernels.js';
import type { Layout } from '../../core/layout.js';
import { tiles } from '../../core/layout.js';
import type { UpdateFacts, UpdateReader, VectorNeed } from '../../core/rules/rule.js';
import type { ClientFile } from './facts.js';
import type { TensorFile } from './tensor-file.js';
import { isFloatEntry, named, readFloats } from './tensor-file.js';

/** Values of the base, flat over a layout: as wide as its widest tensor. */
export type BaseValues = Float32Array | Float64Array;

/** A client's file with the files of its auxiliary vectors, all open. */
export interface OpenClient extends ClientFile {
  readonly file: TensorFile;
  readonly auxiliary: ReadonlyMap<string, TensorFile>;
}

export interface FileUpdate extends UpdateReader {
  /** Greatest absolute value in any vector that may be folded. */
  readonly foldedMax: number;
}

/** Elements `start` to `start + length` of a file's tensors, one after the other as in the layout. */
export async function readFlat(
  file: TensorFile,
  { tensors }: Layout,
  start: number,
  length: number,
): Promise<Float64Array> {
  const out = new Float64Array(length);
  for (const tensor of tensors) {
    const from = Math.max(start, tensor.start);
    const to = Math.min(start + length, tensor.start + tensor.length);
    const entry = file.header.tensors.get(tensor.name);
    if (from >= to || !entry || !isFloatEntry(entry)) continue;
    out.set(await readFloats(file, entry, from - tensor.start, to - from), from - start);
  }
  return out;
}

/** The base over a layout. @throws TributaryError `not_finite`. */
export async function readBase(base: TensorFile, layout: Layout): Promise<BaseValues> {
  const isWide = layout.tensors.some(({ name }) => base.header.tensors.get(name)?.dtype === 'F64');
  const values = isWide ? new Float64Array(layout.size) : new Float32Array(layout.size);
  for (const { start, length } of tiles(layout.size)) {
    values.set(await readFlat(base, layout, start, length), start);
  }
  for (const { name, start, length } of layout.tensors) {
    const at = values.subarray(start, start + length).findIndex((value) => !Number.isFinite(value));
    if (at < 0) continue;
    const message = `${base.path}: element ${at} of "${name}" is ${values[start + at]}`;
    throw new TributaryError('not_finite', message);
  }
  return values;
}

/**
 * Reads every vector once: a rule is told norms, and the exact fold needs to know the greatest value.
 *
 * @throws TributaryError `not_finite`, `bad_facts` naming file and element.
 */
export async function fileUpdate(
  client: OpenClient,
  base: BaseValues,
  layout: Layout,
  needs: readonly VectorNeed[],
  kernels: Kernels,
): Promise<FileUpdate> {
  const { clientId, role, numExamples, numSteps, metrics, staleness, auxiliary } = client;
  const read = reader(client, base, layout);
  const scanned = async (vector: string): Promise<VectorScan> => {
    const scan = new VectorScan(vector, kernels, layout);
    for (const { start, length } of tiles(layout.size)) {
      const tile = await read(vector, start, length);
      scan.add(tile);
      if (isMeasure(vector, needs)) checkMeasure(tile, vector, start, layout);
    }
    return scan;
  };
  const { norm, maxAbs } = await named(client.path, () => scanned(DELTA));
  let foldedMax = maxAbs;
  for (const [vector, { path }] of auxiliary) {
    const scan = await named(path, () => scanned(vector));
    if (!isMeasure(vector, needs)) foldedMax = Math.max(foldedMax, scan.maxAbs);
  }
  const facts: UpdateFacts = {
    ...{ clientId, role, numExamples, numSteps, metrics, norm, maxAbs, staleness },
    baseVersion: 0,
  };
  return { ...facts, vectors: [DELTA, ...auxiliary.keys()], read, foldedMax };
}

function reader(client: OpenClient, base: BaseValues, layout: Layout): UpdateReader['read'] {
  return async (vector, start, length) => {
    if (vector !== DELTA) {
      const file = client.auxiliary.get(vector);
      if (!file) throw new TributaryError('internal', `"${client.clientId}" has no "${vector}"`);
      return Float32Array.from(await readFlat(file, layout, start, length));
    }
    const values = await readFlat(client.file, layout, start, length);
    const delta = new Float32Array(length);
    for (let i = 0; i < length; i++) delta[i] = values[i] - base[start + i];
    return delta;
  };
}
