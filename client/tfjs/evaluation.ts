/** Loss and metrics of a model on local data. */
import * as tf from '@tensorflow/tfjs-core';
import { TributaryError } from '../../protocol/errors.js';
import { elements } from '../../protocol/model.js';
import type { Dataset } from './dataset.js';
import { forward, inputOf } from './network.js';
import type { Network } from './network.js';
import { pauses } from './pause.js';

/** Values of the features in one forward pass: memory stays flat however many examples there are. */
const PASS_VALUES = 2 ** 20;
const PASS_EXAMPLES = 256;

/**
 * Sums over the examples of the mean loss and of every metric of the task, in inference mode.
 *
 * @throws the signal's reason; TributaryError `not_finite` where the model's outputs are not.
 */
export async function evaluateOn(
  network: Network,
  data: Dataset,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const pause = pauses();
  const sums: Record<string, number> = { loss: 0 };
  for (const name of network.metrics.keys()) sums[name] = 0;
  for (const batch of consecutive(data, passSize(network))) {
    signal.throwIfAborted();
    addSums(sums, network, batch);
    await pause();
  }
  if (!Number.isFinite(sums.loss))
    throw new TributaryError('not_finite', 'the loss of the received model is not finite');
  return sums;
}

function addSums(sums: Record<string, number>, network: Network, batch: Dataset): void {
  const { loss, metrics } = network;
  const [mean, outputs] = tf.tidy(() => {
    const result = forward(network, inputOf(network, batch), false);
    const value = loss.mean(result, loss.targets(batch.labels));
    return [value.dataSync()[0], result.dataSync<'float32'>()] as const;
  });
  sums.loss += mean * batch.size;
  for (const [name, metric] of metrics) sums[name] += metric(outputs, batch.labels);
}

function passSize({ inputShape }: Network): number {
  return Math.max(1, Math.min(PASS_EXAMPLES, Math.floor(PASS_VALUES / elements(inputShape))));
}

/** A dataset in parts of `size`, in order; the last may be smaller. Views, not copies. */
export function* consecutive(data: Dataset, size: number): Iterable<Dataset> {
  const width = data.features.length / data.size;
  for (let begin = 0; begin < data.size; begin += size) {
    const end = Math.min(data.size, begin + size);
    yield {
      features: data.features.subarray(begin * width, end * width),
      labels: data.labels.subarray(begin, end),
      size: end - begin,
    };
  }
}
