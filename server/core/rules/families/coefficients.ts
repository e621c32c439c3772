/** From coefficients to the change of the model, and to the weight that each client was given. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type { Kernels } from '../../kernels/kernels.js';
import type { Layout } from '../../layout.js';
import type { Coefficients } from '../rule.js';
import type { ReadRows, Segment } from './tile-reader.js';

type Coefficient = Coefficients['model'];

/**
 * @throws TributaryError `not_finite` naming the rule and the client, `internal` where numbers are
 * missing.
 */
export function checkCoefficients(
  rule: string,
  { model, updates }: Coefficients,
  of: readonly { readonly clientId: string }[],
  layout: Layout,
): void {
  if (updates.length !== of.length) {
    const message = `the rule "${rule}" gave ${updates.length} coefficients for ${of.length} updates`;
    throw new TributaryError('internal', message);
  }
  const check = (coefficient: Coefficient, whose: string): void => {
    const values = typeof coefficient === 'number' ? [coefficient] : coefficient;
    if (typeof coefficient !== 'number' && values.length !== layout.tensors.length) {
      const message = `the rule "${rule}" gave ${whose} ${values.length} coefficients for ${layout.tensors.length} tensors`;
      throw new TributaryError('internal', message);
    }
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad === undefined) return;
    throw new TributaryError(
      'not_finite',
      `the rule "${rule}" gave ${whose} the coefficient ${bad}`,
    );
  };
  check(model, 'the model');
  updates.forEach((coefficient, i) => check(coefficient, `client "${of[i].clientId}"`));
}

function ofTensor(coefficient: Coefficient, tensor: number): number {
  return typeof coefficient === 'number' ? coefficient : coefficient[tensor];
}

export interface CombineParts {
  readonly model: Float32Array;
  readonly read: ReadRows;
  readonly segments: readonly Segment[];
  readonly kernels: Kernels;
}

/** (model - 1) w + sum_i updates[i] D_i in float64, terms in client-id order. */
export async function combined(
  { model: onModel, updates }: Coefficients,
  { model, read, segments, kernels }: CombineParts,
): Promise<Float64Array> {
  const delta = new Float64Array(model.length);
  const rows = updates.map((_, update) => ({ update, vector: DELTA }));
  for (const segment of segments) {
    const { tensor, start, length } = segment;
    const add = (x: Float32Array, coefficient: number): void => {
      if (coefficient !== 0) kernels.axpy(delta, start, x, coefficient);
    };
    add(model.subarray(start, start + length), ofTensor(onModel, tensor) - 1);
    const tiles = await read(rows, segment);
    tiles.forEach((tile, i) => add(tile, ofTensor(updates[i], tensor)));
  }
  return delta;
}

/** Weight given: the coefficient; with one a tensor, the mean over parameters. */
export function meanCoefficient(coefficient: Coefficient, { tensors, size }: Layout): number {
  if (typeof coefficient === 'number') return coefficient;
  const total = tensors.reduce((sum, { length }, tensor) => sum + coefficient[tensor] * length, 0);
  return size === 0 ? 0 : total / size;
}
