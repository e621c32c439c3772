/** How the model takes a step. */
import { TributaryError } from '../../protocol/errors.js';
import type { Kernels } from './kernels/kernels.js';
import { referenceKernels } from './kernels/reference.js';

/**
 * fround(w + delta), the only rounding to float32 of a round. Where delta is 0, w's bits are kept:
 * -0 + 0 would be +0.
 * @throws TributaryError `not_finite` where a parameter would overflow; `internal` for other sizes.
 */
export function applyDelta(
  model: Float32Array,
  delta: Float64Array,
  kernels: Kernels = referenceKernels,
): Float32Array {
  if (delta.length !== model.length) {
    const sizes = `${delta.length} and ${model.length}`;
    throw new TributaryError('internal', `delta and model have ${sizes} elements`);
  }
  const result = new Float32Array(model.length);
  kernels.apply(result, model, delta);
  for (let i = 0; i < result.length; i++) {
    if (!Number.isFinite(result[i])) {
      throw new TributaryError('not_finite', `parameter ${i} of the new model is ${result[i]}`);
    }
  }
  return result;
}
