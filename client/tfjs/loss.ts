/**
 * Losses of logits, and metrics. Gradients are written out: exp and log of saturated outputs would
 * be infinite, and the derivative that TF.js composes for the binary loss is wrong at a logit of
 * exactly 0, where every model that starts from zeros begins.
 */
import * as tf from '@tensorflow/tfjs-core';
import { TributaryError } from '../../protocol/errors.js';
import type { DataContract, LossName, Task } from '../../protocol/model.js';

/** One loss, and what its output means. All tensors have the batch first. */
export interface Loss {
  /** The activation that belongs to this loss, and is taken off the model. */
  readonly activation: 'softmax' | 'sigmoid' | 'linear';
  /** Values of one output. */
  readonly units: number;
  /** Labels as the loss wants them: [n, units]. */
  targets(labels: Int32Array | Float32Array): tf.Tensor2D;
  /** Mean over the batch, of outputs before the activation, [n, units]. */
  mean(outputs: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar;
}

/** @throws TributaryError `bad_model` where the loss cannot be had of such labels. */
export function lossOf(name: LossName, labels: DataContract['labels']): Loss {
  switch (name) {
    case 'categoricalCrossentropy':
      if (labels.kind !== 'class') return refuse(`loss "${name}" needs labels of kind "class"`);
      return categoricalCrossentropy(labels.classes);
    case 'binaryCrossentropy':
      if (labels.kind !== 'class' || labels.classes !== 2)
        return refuse(`loss "${name}" needs labels of 2 classes`);
      return binaryCrossentropy;
    case 'meanSquaredError':
      if (labels.kind !== 'value') return refuse(`loss "${name}" needs labels of kind "value"`);
      return meanSquaredError;
  }
}

/** -log softmax(outputs)[label]. */
function categoricalCrossentropy(classes: number): Loss {
  const loss = tf.customGrad((outputs, targets, save) => {
    const logits = outputs as tf.Tensor2D;
    const shifted = tf.sub(logits, tf.max(logits, 1, true));
    const exponentials = tf.exp(shifted);
    const total = tf.sum(exponentials, 1, true);
    const chosen = tf.sum(tf.mul(shifted, targets as tf.Tensor), 1, true);
    (save as tf.GradSaveFunc)([tf.div(exponentials, total), targets as tf.Tensor]);
    return {
      value: tf.mean(tf.sub(tf.log(total), chosen)),
      gradFunc: (dy: tf.Tensor, [probabilities, wanted]: tf.Tensor[]) => [
        tf.mul(tf.sub(probabilities, wanted), tf.div(dy, logits.shape[0])),
        tf.zerosLike(wanted),
      ],
    };
  });
  return {
    activation: 'softmax',
    units: classes,
    targets: (labels) => {
      // Not tf.oneHot: asked for floats, the wasm backend writes the bits of the integer 1.
      const hot = new Float32Array(labels.length * classes);
      for (let row = 0; row < labels.length; row++) hot[row * classes + labels[row]] = 1;
      return tf.tensor2d(hot, [labels.length, classes]);
    },
    mean: loss as Loss['mean'],
  };
}

/** -log sigmoid(output) where the label is 1, -log sigmoid(-output) where it is 0. */
const binaryCrossentropy: Loss = {
  activation: 'sigmoid',
  units: 1,
  targets: (labels) => tf.tensor2d(Float32Array.from(labels), [labels.length, 1]),
  mean: tf.customGrad((outputs, targets, save) => {
    const logits = outputs as tf.Tensor2D;
    const wanted = targets as tf.Tensor2D;
    (save as tf.GradSaveFunc)([logits, wanted]);
    const linear = tf.sub(tf.relu(logits), tf.mul(logits, wanted));
    return {
      value: tf.mean(tf.add(linear, tf.log1p(tf.exp(tf.neg(tf.abs(logits)))))),
      gradFunc: (dy: tf.Tensor, [z, y]: tf.Tensor[]) => [
        tf.mul(tf.sub(tf.sigmoid(z), y), tf.div(dy, logits.shape[0])),
        tf.zerosLike(y),
      ],
    };
  }),
};

const meanSquaredError: Loss = {
  activation: 'linear',
  units: 1,
  targets: (labels) => tf.tensor2d(Float32Array.from(labels), [labels.length, 1]),
  mean: (outputs, targets) => tf.mean(tf.squaredDifference(outputs, targets)),
};

/** Adds up over the examples of a batch: outputs before the activation, n times `units`. */
export type MetricSum = (outputs: Float32Array, labels: Int32Array | Float32Array) => number;

/**
 * The metrics of a task, beside its loss: `accuracy` (of classes), `meanAbsoluteError` (of values).
 *
 * @throws TributaryError `bad_model` for a metric that is unknown, or of other labels.
 */
export function metricsOf(task: Task): ReadonlyMap<string, MetricSum> {
  return new Map(task.metrics.map((name) => [name, metricOf(name, task)]));
}

function metricOf(name: string, { data: { labels }, loss }: Task): MetricSum {
  switch (name) {
    case 'accuracy':
      if (labels.kind !== 'class') return refuse('metric "accuracy" needs labels of kind "class"');
      return loss === 'binaryCrossentropy' ? binaryAccuracy : classAccuracy(labels.classes);
    case 'meanAbsoluteError':
      if (labels.kind !== 'value') return refuse(`metric "${name}" needs labels of kind "value"`);
      return absoluteError;
    default:
      return refuse(`metric "${name}" is unknown: choose of accuracy, meanAbsoluteError`);
  }
}

/** The largest output is right; the first of equals counts. */
function classAccuracy(classes: number): MetricSum {
  return (outputs, labels) => {
    let right = 0;
    for (let row = 0; row < labels.length; row++) {
      let best = 0;
      for (let k = 1; k < classes; k++)
        if (outputs[row * classes + k] > outputs[row * classes + best]) best = k;
      if (best === labels[row]) right++;
    }
    return right;
  };
}

/** A probability above one half is class 1. */
const binaryAccuracy: MetricSum = (outputs, labels) => {
  let right = 0;
  for (let row = 0; row < labels.length; row++)
    if (outputs[row] > 0 === (labels[row] === 1)) right++;
  return right;
};

const absoluteError: MetricSum = (outputs, labels) => {
  let sum = 0;
  for (let row = 0; row < labels.length; row++) sum += Math.abs(outputs[row] - labels[row]);
  return sum;
};

function refuse(problem: string): never {
  throw new TributaryError('bad_model', problem);
}
