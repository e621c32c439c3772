/** Tasks with real data, for the demonstration, comparisons and benchmarks. */
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { initializers, layers, sequential } from '@tensorflow/tfjs-layers';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { modelSpecOf } from '../../client/tfjs/model.js';
import type { Task } from '../../protocol/model.js';
import { task } from '../../protocol/model.js';
import { DIGIT_CLASSES, DIGIT_PIXELS } from './digits.js';
import { HEART_FEATURES } from './heart.js';

/** Handwritten digits: a perceptron 784-64-10, relu then softmax, 50,890 parameters. */
export function digitsTask(): Promise<Task> {
  return perceptron('digits', DIGIT_PIXELS, 64);
}

/** Digits at half their size: a perceptron 196-32-10, 6,634 parameters, for many runs. */
export function smallDigitsTask(): Promise<Task> {
  return perceptron('small-digits', DIGIT_PIXELS / 4, 32);
}

function perceptron(name: string, pixels: number, units: number): Promise<Task> {
  return taskOf(
    {
      name,
      data: {
        features: { shape: [pixels], min: 0, max: 1 },
        labels: { kind: 'class', classes: DIGIT_CLASSES },
        minExamples: 1,
      },
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
    },
    () =>
      sequential({
        layers: [
          layers.dense({ name: 'hidden', inputShape: [pixels], units, activation: 'relu' }),
          layers.dense({ name: 'output', units: DIGIT_CLASSES, activation: 'softmax' }),
        ],
      }),
  );
}

/** Heart disease: logistic regression, 13 weights and a bias, as the benchmark prescribes. */
export async function heartTask(): Promise<Task> {
  const bound = 1 / Math.sqrt(HEART_FEATURES.length);
  return taskOf(
    {
      name: 'heart-disease',
      data: {
        features: { shape: [HEART_FEATURES.length], columns: [...HEART_FEATURES] },
        labels: { kind: 'class', classes: 2, column: 'disease' },
        minExamples: 1,
      },
      loss: 'binaryCrossentropy',
      metrics: ['accuracy'],
    },
    () =>
      sequential({
        layers: [
          layers.dense({
            name: 'logistic',
            inputShape: [HEART_FEATURES.length],
            units: 1,
            activation: 'sigmoid',
            kernelInitializer: initializers.randomUniform({ minval: -bound, maxval: bound }),
            biasInitializer: initializers.randomUniform({ minval: -bound, maxval: bound }),
          }),
        ],
      }),
  );
}

async function taskOf(rest: Omit<Task, 'model'>, build: () => LayersModel): Promise<Task> {
  // Building a model draws its weights, so TF.js needs a backend even for a description.
  await prepareBackend();
  const model = build();
  try {
    return task.parse({ ...rest, model: await modelSpecOf(model) });
  } finally {
    model.dispose();
  }
}
