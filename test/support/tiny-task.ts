/** The smallest TF.js task that learns something: softmax regression on points in the plane. */
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { modelSpecOf } from '../../client/tfjs/model.js';
import type { Task } from '../../protocol/model.js';
import { task } from '../../protocol/model.js';
import { randomStream } from '../../server/core/random.js';

export async function tinyTask(): Promise<Task> {
  await prepareBackend();
  const model = sequential({
    layers: [layers.dense({ name: 'out', inputShape: [2], units: 2, activation: 'softmax' })],
  });
  try {
    return task.parse({
      name: 'tiny',
      model: await modelSpecOf(model),
      data: {
        features: { shape: [2], columns: ['left', 'right'], min: -4, max: 4 },
        labels: { kind: 'class', classes: 2, column: 'side' },
      },
    });
  } finally {
    model.dispose();
  }
}

/** Points of which class 1 lies to the right of a line that differs a little from client to client. */
export function tinyData(client: string, size: number): Dataset {
  const random = randomStream('tiny task', client);
  const tilt = random.uniform() - 0.5;
  const features = Float32Array.from({ length: 2 * size }, () => 4 * random.uniform() - 2);
  const labels = Int32Array.from({ length: size }, (_, i) =>
    features[2 * i] + tilt * features[2 * i + 1] > 0 ? 1 : 0,
  );
  return { features, labels, size };
}

/** The same as a CSV file with a header. */
export function tinyCsv(client: string, size: number): string {
  const { features, labels } = tinyData(client, size);
  const rows = Array.from(labels, (label, i) => {
    return `${features[2 * i]},${features[2 * i + 1]},${label}`;
  });
  return ['left,right,side', ...rows, ''].join('\n');
}
