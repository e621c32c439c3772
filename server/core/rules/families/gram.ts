/** Inner products between the vectors of a round, whole or tensor by tensor. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type { Kernels } from '../../kernels/kernels.js';
import type { ReadRows, Row, Segment } from './tile-reader.js';

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

export interface GramParts {
  readonly read: ReadRows;
  readonly segments: readonly Segment[];
  readonly tensors: number;
  readonly kernels: Kernels;
}

/** One Gram matrix for the model, or one a tensor, in one pass over the rows. */
export async function gramMatrices(
  rows: readonly Row[],
  granularity: Granularity,
  { read, segments, tensors, kernels }: GramParts,
): Promise<readonly Gram<string>[]> {
  const K = rows.length;
  const matrices = Array.from(
    { length: granularity === 'model' ? 1 : tensors },
    () => new Float64Array(K * K),
  );
  for (const segment of segments) {
    const matrix = matrices[granularity === 'model' ? 0 : segment.tensor];
    kernels.gram(matrix, await read(rows, segment));
  }
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
