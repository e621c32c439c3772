/**
 * The updates of single batches, from which FedGP's auto-weighting estimates how noisy a target's
 * update is (Jiang et al., ICLR 2024): the change that the optimiser's j-th step of an epoch makes,
 * averaged over the epochs. Added up and times the epochs, they are the whole update.
 */
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { TensorSpec } from '../../protocol/model.js';
import { memberName } from '../../protocol/update.js';
import { readWeight } from './model.js';
import type { Params } from '../params.js';

/** The family's name in the protocol. */
export const BATCH_UPDATES = 'batch';

export interface BatchUpdates {
  /** To be called after each optimiser step, with the index of its batch in the epoch. */
  record(batch: number): void;
  /** `batch.0`, `batch.1`, …, each over the shared tensors. */
  vectors(epochs: number): Record<string, Params>;
}

/** Starts from the model's present weights. Holds one copy of them a batch. */
export function createBatchUpdates(
  model: LayersModel,
  tensors: readonly TensorSpec[],
  batches: number,
): BatchUpdates {
  const weights = model.weights.filter((_, index) => tensors[index].role === 'shared');
  const names = tensors.filter(({ role }) => role === 'shared').map(({ name }) => name);
  let last = weights.map(readWeight);
  const sums = Array.from({ length: batches }, () =>
    last.map((values) => new Float64Array(values.length)),
  );
  return {
    record: (batch) => {
      const now = weights.map(readWeight);
      now.forEach((values, index) => {
        addDifference(sums[batch][index], values, last[index]);
      });
      last = now;
    },
    vectors: (epochs) => {
      const members = sums.map((sum, batch) => {
        const means = sum.map((values) => Float32Array.from(values, (value) => value / epochs));
        const params = Object.fromEntries(means.map((values, index) => [names[index], values]));
        return [memberName(BATCH_UPDATES, batch), params] as const;
      });
      return Object.fromEntries(members);
    },
  };
}

function addDifference(sum: Float64Array, a: Float32Array, b: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += a[i] - b[i];
}
