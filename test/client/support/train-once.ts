/** One training, in a process of its own: prints the sha256 of what came out. */
import { createHash } from 'node:crypto';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { prepareBackend } from '../../../client/tfjs/backend.js';
import { tfjsTrainer } from '../../../client/tfjs/trainer.js';
import { divided, requestOf, taskOf } from './tfjs.js';

export async function trainOnce(): Promise<string> {
  await prepareBackend('wasm');
  const model = sequential({
    layers: [
      layers.reshape({ targetShape: [6, 6, 1], inputShape: [36] }),
      layers.conv2d({ filters: 3, kernelSize: 3, activation: 'relu' }),
      layers.batchNormalization(),
      layers.flatten(),
      layers.dropout({ rate: 0.3 }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
  const task = await taskOf(model, { shape: [36] });
  const config = { epochs: 2, batchSize: 8, momentum: 0.9, proximalMu: 0.01 };
  const request = await requestOf(task, config, { seed: 42 });
  const { params } = await tfjsTrainer({ data: divided(30, 36) })(request);
  const hash = createHash('sha256');
  for (const [name, values] of Object.entries(params)) hash.update(name).update(values);
  return hash.digest('hex');
}

if (process.argv[1]?.endsWith('train-once.ts')) console.log(await trainOnce());
