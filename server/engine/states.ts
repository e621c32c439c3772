/** The state of rule and optimizer at rest: a safetensors blob, its values in the metadata. */
import { TributaryError } from '../../protocol/errors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { BlobStore } from '../core/ports.js';
import { RULE_PREFIX } from '../core/rules/compose.js';
import type { Json, RuleState } from '../core/rules/rule.js';
import { emptyState } from '../core/rules/rule.js';
import { putBlob } from './checkpoints.js';
import { readHeader } from './update-file.js';
import { readVerified } from './verified.js';

const STATE_VALUES = 'tributary.values';

/**
 * Stores the state of rule and optimizer; null where there is none.
 *
 * @throws TributaryError `internal`, naming the tensor or value that would come back as another one.
 */
export async function putState(blobs: BlobStore, state: RuleState): Promise<string | null> {
  const names = Object.keys(state.tensors).sort();
  if (names.length === 0 && Object.keys(state.values).length === 0) return null;
  const tensors = names.map((name) => [name, stored(name, state.tensors[name])] as const);
  for (const [name, value] of Object.entries(state.values)) checkValue(name, value);
  const values = { [STATE_VALUES]: JSON.stringify(state.values) };
  const bytes = encodeSafetensors(Object.fromEntries(tensors), values);
  return (await putBlob(blobs, bytes)).sha256;
}

/** Told now, with the rule's name for it: found at the next load, it would hold the run up for good. */
function stored(name: string, data: unknown): { shape: number[]; data: Float64Array } {
  if (data instanceof Float64Array) return { shape: [data.length], data };
  throw lost(name, `is of type ${kindOf(data)}: make it a Float64Array`);
}

/** JSON writes NaN as null, and leaves out what it does not know. */
function checkValue(path: string, value: unknown): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw lost(path, `is ${value}: JSON has finite numbers only`);
  } else if (Array.isArray(value)) {
    value.forEach((item, i) => checkValue(`${path}.${i}`, item));
  } else if (isPlain(value)) {
    for (const [key, item] of Object.entries(value)) checkValue(`${path}.${key}`, item);
  } else if (value !== null && typeof value !== 'string' && typeof value !== 'boolean') {
    throw lost(path, `is of type ${kindOf(value)}, which JSON does not keep`);
  }
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function kindOf(value: unknown): string {
  return typeof value === 'object'
    ? Object.prototype.toString.call(value).slice(8, -1)
    : typeof value;
}

function lost(name: string, why: string): TributaryError {
  return new TributaryError('internal', `the rule's state cannot be stored: "${name}" ${why}`);
}

const named = { what: 'the state of rule and optimizer' };

/** @throws TributaryError `blob_damaged` for a blob that is missing, altered, or no state. */
export async function loadState(blobs: BlobStore, sha256: string | null): Promise<RuleState> {
  if (sha256 === null) return emptyState;
  const bytes = await readVerified(blobs, sha256, named);
  const { tensors, metadata } = await ours(sha256, () => decodeSafetensors(bytes));
  const arrays = Object.entries(tensors).map(([name, { data }]) => {
    if (!(data instanceof Float64Array)) throw notFloat64(name);
    return [name, data] as const;
  });
  return { tensors: Object.fromEntries(arrays), values: valuesIn(metadata) };
}

/**
 * As {@link loadState}, without the tensors of the optimizer and of the steps after it, which are as
 * large as the model each: what a rule may ask for when it weighs an update.
 */
export async function loadRuleState(blobs: BlobStore, sha256: string | null): Promise<RuleState> {
  if (sha256 === null) return emptyState;
  // Not read whole to be hashed: that is done before clients are invited, and before updates are folded.
  const blob = await blobs.open(sha256);
  const { tensors, metadata } = await ours(sha256, () => readHeader(blob));
  const arrays: [string, Float64Array][] = [];
  for (const [name, { dtype, begin, end }] of tensors) {
    if (!name.startsWith(RULE_PREFIX)) continue;
    if (dtype !== 'F64') throw notFloat64(name);
    const data = new Float64Array((end - begin) / Float64Array.BYTES_PER_ELEMENT);
    await blob.readInto(begin, new Uint8Array(data.buffer));
    arrays.push([name, data]);
  }
  return { tensors: Object.fromEntries(arrays), values: valuesIn(metadata) };
}

/** A file of ours that is damaged is no fault of the client whose update is weighed with it. */
async function ours<T>(sha256: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof TributaryError) || cause.code !== 'bad_safetensors') throw cause;
    const message = `the state ${sha256} is damaged: ${cause.message}`;
    throw new TributaryError('blob_damaged', message, undefined, { cause });
  }
}

function valuesIn(metadata: Readonly<Record<string, string>>): Record<string, Json> {
  return JSON.parse(metadata[STATE_VALUES] ?? '{}') as Record<string, Json>;
}

function notFloat64(name: string): TributaryError {
  return new TributaryError('blob_damaged', `state tensor "${name}" is not float64`);
}

/** Runs whose state is kept in memory. */
const MOST_RUNS = 8;

/** What a run's rule had kept at a version of its model. Versions never change. */
export type StateAt = (runId: string, version: number) => Promise<RuleState>;

/**
 * Loads states for weighing, and keeps the last one of each run: all uploads of a round ask for the
 * same one, and runs take turns. Of so many runs only, the one longest unasked goes first. A failure
 * is not kept.
 */
export function rememberedStates(load: StateAt): StateAt {
  const last = new Map<string, { version: number; state: Promise<RuleState> }>();
  return (runId, version) => {
    const known = last.get(runId);
    const entry = known?.version === version ? known : { version, state: load(runId, version) };
    last.delete(runId);
    last.set(runId, entry);
    entry.state.catch(() => {
      if (last.get(runId) === entry) last.delete(runId);
    });
    if (last.size > MOST_RUNS) last.delete(last.keys().next().value!);
    return entry.state;
  };
}
