/**
 * TF.js layers 4.22 calls a few operations as methods of tensors, which exist only where the whole
 * @tensorflow/tfjs was loaded. Its `Orthogonal` initializer is one such place, and with it every
 * LSTM and GRU that is left at its defaults: "rMat.flatten is not a function".
 */
import * as tf from '@tensorflow/tfjs-core';

const methods = {
  flatten(this: tf.Tensor) {
    return tf.reshape(this, [this.size]);
  },
  reshape(this: tf.Tensor, shape: number[]) {
    return tf.reshape(this, shape);
  },
  sign(this: tf.Tensor) {
    return tf.sign(this);
  },
  stridedSlice(this: tf.Tensor, begin: number[], end: number[], strides?: number[]) {
    return tf.stridedSlice(this, begin, end, strides);
  },
  transpose(this: tf.Tensor, perm?: number[]) {
    return tf.transpose(this, perm);
  },
};

const prototype = tf.Tensor.prototype as unknown as Record<string, unknown>;
for (const [name, method] of Object.entries(methods)) prototype[name] ??= method;
