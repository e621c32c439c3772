/** The local steps of one round: epochs, or a number of steps, batch after batch. */
import * as tf from '@tensorflow/tfjs-core';
import { TributaryError } from '../../protocol/errors.js';
import type { TrainRequest } from '../types.js';
import type { BatchUpdates } from './batch-updates.js';
import { subset } from './dataset.js';
import type { Dataset } from './dataset.js';
import { lossAndGradients } from './network.js';
import type { Network } from './network.js';
import { pauses } from './pause.js';
import { randomStream, shuffle, withSeededMathRandom } from './random.js';
import type { Random } from './random.js';
import type { Sgd } from './sgd.js';

export interface LocalWork {
  readonly network: Network;
  readonly data: Dataset;
  readonly request: TrainRequest;
  readonly sgd: Sgd;
  readonly updates: BatchUpdates | undefined;
  /** In one pass over the data. */
  readonly batches: number;
  /** In all. */
  readonly numSteps: number;
}

/**
 * Goes round and round over the data, shuffled anew at each pass, the last batch of a pass as small
 * as it comes, until the steps are done.
 *
 * @returns the mean loss over the examples of the last pass; of the last steps that make one, where
 * the work ends within a pass.
 * @throws TributaryError `not_finite` where training diverged; the signal's reason.
 */
export async function runSteps(work: LocalWork): Promise<number> {
  const { network, data, request, sgd, updates, batches, numSteps } = work;
  const { seed, signal, config } = request;
  const order = Int32Array.from({ length: data.size }, (_, row) => row);
  const [shuffling, noise] = [randomStream(seed, 'shuffle'), randomStream(seed, 'noise')];
  const pause = pauses();
  const last: BatchLoss[] = [];
  for (let step = 0; step < numSteps; step++) {
    const batch = step % batches;
    if (step === 0 || (batch === 0 && !updates)) shuffle(order, shuffling);
    signal.throwIfAborted();
    const rows = order.subarray(batch * config.batchSize, (batch + 1) * config.batchSize);
    const loss = trainBatch(network, sgd, subset(data, rows), noise);
    if (!Number.isFinite(loss))
      throw new TributaryError('not_finite', `the loss became ${loss} in step ${step + 1}`);
    last.push({ loss, examples: rows.length });
    if (last.length > batches) last.shift();
    updates?.record(batch);
    const paused = pause();
    if (!paused) continue;
    request.progress({ fraction: (step + 1) / numSteps, loss });
    await paused;
  }
  const mean = meanLoss(last);
  request.progress({ fraction: 1, loss: mean });
  return mean;
}

interface BatchLoss {
  readonly loss: number;
  readonly examples: number;
}

function meanLoss(batches: readonly BatchLoss[]): number {
  const sum = batches.reduce((total, { loss, examples }) => total + loss * examples, 0);
  return sum / batches.reduce((total, { examples }) => total + examples, 0);
}

/** One optimiser step. @returns the mean loss of the batch before it. */
function trainBatch(network: Network, sgd: Sgd, batch: Dataset, noise: Random): number {
  return tf.tidy(() => {
    const { loss, gradients } = withSeededMathRandom(noise, () =>
      lossAndGradients(network, batch, sgd.variables, { training: true }),
    );
    sgd.step(gradients);
    return loss;
  });
}
