/** Inner products between the vectors of a round, whole or tensor by tensor. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type { PassParts, Row } from './tile-reader.js';
import { eachSegment } from './tile-reader.js';

/** A vector of an update by its place in client-id order: the delta, if no other is named. */
export interface VectorRef<V extends string> {
  readonly update: number;
  readonly vector?: V;
}

/** Inner products over the whole vector, or over one tensor of it. */
export interface Gram<V extends string> {
  /** @throws TributaryError `internal` for a vector that was not among the rows. */
  dot(a: VectorRef<V>, b: VectorRef<V>): number;
}

export type Granularity = 'model' | 'tensor';

/** Products from which on a matrix is summed in float32 stretches: about 0.1 s in float64. */
const EXACT_MAX = 268_435_456;

export interface GramParts extends PassParts {
  readonly tensors: number;
}

/** One Gram matrix for the model, or one a tensor, in one pass over the rows. */
export async function gramMatrices(
  rows: readonly Row[],
  granularity: Granularity,
  parts: GramParts,
): Promise<readonly Gram<string>[]> {
  const K = rows.length;
  const size = parts.segments.reduce((sum, { length }) => sum + length, 0);
  // By the sizes alone (docs/decisions/0012): the same round gives the same bits everywhere.
  const precision = K * K * size > EXACT_MAX ? 'fast' : 'exact';
  const matrices = Array.from(
    { length: granularity === 'model' ? 1 : parts.tensors },
    () => new Float64Array(K * K),
  );
  await eachSegment(rows, parts, (tiles, { tensor }) => {
    parts.kernels.gram(matrices[granularity === 'model' ? 0 : tensor], tiles, precision);
  });
  const places = new Map(rows.map((row, place) => [key(row), place]));
  const place = ({ update, vector = DELTA }: VectorRef<string>): number => {
    const found = places.get(key({ update, vector }));
    if (found !== undefined) return found;
    throw new TributaryError('internal', `"${vector}" of update ${update} is not in the matrix`);
  };
  return matrices.map((matrix) => ({ dot: (a, b) => matrix[place(a) * K + place(b)] }));
}

function key({ update, vector }: Row): string {
  return `${update}/${vector}`;
}
