/** Names of vectors at the type level, so that using what a rule did not declare does not compile. */
import { TributaryError } from '../../../../protocol/errors.js';
import type { DELTA } from '../../../../protocol/update.js';
import type { Needs, UpdateReader, VectorNeed } from '../rule.js';

/** Of a rule that declares nothing. */
export interface NoNeeds {
  readonly oracle?: never;
  readonly target?: never;
  readonly vectors?: never;
  readonly metrics?: never;
}

type Declared<N extends Needs> = N extends { readonly vectors: readonly (infer V)[] } ? V : never;
type NameOf<V> = V extends { readonly name: infer Name extends string; readonly many: infer Many }
  ? Many extends true
    ? `${Name}.${number}`
    : Name
  : never;

/** The auxiliary vectors that a rule with these needs may name. */
export type AuxiliaryName<N extends Needs> = NameOf<Declared<N>>;
/** A vector of an update: its delta, or an auxiliary one. */
export type VectorName<N extends Needs> = typeof DELTA | AuxiliaryName<N>;

/** Which member of a family a vector is; null where it is none. `batch.07` is none. */
export function memberIndex(vector: string, family: string): number | null {
  if (!vector.startsWith(`${family}.`)) return null;
  const index = vector.slice(family.length + 1);
  return /^(0|[1-9]\d*)$/.test(index) ? Number(index) : null;
}

/** The auxiliary vectors of an update that are declared; a family in the order of its members. */
export function declaredVectors(update: UpdateReader, declared: readonly VectorNeed[]): string[] {
  return declared.flatMap(({ name, many }) => {
    if (!many) return update.vectors.filter((vector) => vector === name);
    return update.vectors
      .map((vector) => ({ vector, index: memberIndex(vector, name) }))
      .filter(({ index }) => index !== null)
      .sort((a, b) => a.index! - b.index!)
      .map(({ vector }) => vector);
  });
}

/**
 * Reads elements `start` to `start + length`, and not one fewer: a short tile would silently count
 * as zeros or NaN.
 * @throws TributaryError `internal`.
 */
export async function readExactly(
  update: UpdateReader,
  vector: string,
  start: number,
  length: number,
): Promise<Float32Array> {
  const tile = await update.read(vector, start, length);
  if (tile.length !== length) {
    const message = `"${vector}" of client "${update.clientId}" gave ${tile.length} of ${length} elements`;
    throw new TributaryError('internal', message);
  }
  return tile;
}

/**
 * Fills `out` with the elements from `start` on, straight from the file where the reader can.
 * @throws TributaryError `internal`.
 */
export async function readInto(
  update: UpdateReader,
  vector: string,
  start: number,
  out: Float32Array,
): Promise<Float32Array> {
  if (update.readInto) await update.readInto(vector, start, out);
  else out.set(await readExactly(update, vector, start, out.length));
  return out;
}

/**
 * All results, or the first failure once every other one has ended too: a read that is still under
 * way would write into room that somebody else has by then.
 */
export async function allSettled<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
