/** What the tests of client/tfjs share: seeded numbers, small tasks, requests. */
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { z } from 'zod';
import type { Params, TrainRequest } from '../../../client/types.js';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import { initialParams, modelSpecOf } from '../../../client/tfjs/model.js';
import { randomStream } from '../../../client/tfjs/random.js';
import { task, trainingConfig } from '../../../protocol/model.js';
import type { Task } from '../../../protocol/model.js';

/** Seeded numbers, uniform in -0.5 to 0.5. */
export function noise(size: number, purpose: string, seed = 1): Float32Array {
  const next = randomStream(seed, purpose);
  return Float32Array.from({ length: size }, () => next() - 0.5);
}

export async function taskOf(
  model: LayersModel,
  data: { shape: number[]; labels?: Task['data']['labels'] },
  more: Partial<z.input<typeof task>> = {},
): Promise<Task> {
  return task.parse({
    name: 'test',
    model: await modelSpecOf(model),
    data: {
      features: { shape: data.shape },
      labels: data.labels ?? { kind: 'class', classes: 2 },
    },
    ...more,
  });
}

/** Two classes that a line divides: the sum of the features is above zero. */
export function divided(size: number, width: number, seed = 1): Dataset {
  const features = noise(size * width, 'features', seed);
  const labels = Int32Array.from({ length: size }, (_, row) => {
    const sum = features.subarray(row * width, (row + 1) * width).reduce((a, b) => a + b, 0);
    return sum > 0 ? 1 : 0;
  });
  return { features, labels, size };
}

export async function requestOf(
  forTask: Task,
  config: z.input<typeof trainingConfig>,
  more: Partial<TrainRequest> = {},
): Promise<TrainRequest> {
  return {
    task: forTask,
    model: more.model ?? (await initialParams(forTask.model, 1)),
    config: trainingConfig.parse(config),
    round: 1,
    role: 'source',
    seed: 5,
    vectors: [],
    signal: new AbortController().signal,
    progress: () => undefined,
    ...more,
  };
}

/** Largest difference between two models of the same tensors. */
export function distance(a: Params, b: Params): number {
  let largest = 0;
  for (const [name, values] of Object.entries(a))
    values.forEach((value, i) => (largest = Math.max(largest, Math.abs(value - b[name][i]))));
  return largest;
}

export function bitsOf(params: Params): Record<string, string> {
  const entries = Object.entries(params).map(([name, values]) => {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return [name, Buffer.from(bytes).toString('hex')] as const;
  });
  return Object.fromEntries(entries);
}
