/** From coefficients to the change of the model, and to the weight that each client was given. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type { Layout } from '../../layout.js';
import type { Coefficients } from '../rule.js';
import type { PassParts } from './tile-reader.js';
import { eachSegment } from './tile-reader.js';

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

export interface CombineParts extends PassParts {
  readonly model: Float32Array;
}

/** (model - 1) w + sum_i updates[i] D_i in float64, terms in client-id order. */
export async function combined(
  { model: onModel, updates }: Coefficients,
  { model, ...parts }: CombineParts,
): Promise<Float64Array> {
  const delta = new Float64Array(model.length);
  const rows = updates.map((_, update) => ({ update, vector: DELTA }));
  await eachSegment(rows, parts, (tiles, { tensor, start, length }) => {
    const coefficients = updates.map((coefficient) => ofTensor(coefficient, tensor));
    const ours = model.subarray(start, start + length);
    parts.kernels.combine(
      delta,
      start,
      [ours, ...tiles],
      [ofTensor(onModel, tensor) - 1, ...coefficients],
    );
  });
  return delta;
}

/** Weight given: the coefficient; with one a tensor, the mean over parameters. */
export function meanCoefficient(coefficient: Coefficient, { tensors, size }: Layout): number {
  if (typeof coefficient === 'number') return coefficient;
  const total = tensors.reduce((sum, { length }, tensor) => sum + coefficient[tensor] * length, 0);
  return size === 0 ? 0 : total / size;
}
