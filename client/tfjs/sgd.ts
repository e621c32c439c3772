/**
 * Stochastic gradient descent with heavy-ball momentum, v <- m v + g, w <- w - lr v (as PyTorch and
 * Keras have it, so that a learning rate means the same), and what rules add to g: the pull to the
 * start of FedProx and FedDyn, and the offsets of SCAFFOLD and FedDyn.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { variableOf } from './model.js';

export interface SgdOptions {
  readonly learningRate: number;
  readonly momentum: number;
  /** Adds mu (w - start) to the gradient, `start` the weights when this optimiser was made. */
  readonly proximalMu: number;
  /** The same of FedDyn; both may be there. */
  readonly dynamicAlpha?: number | undefined;
}

export interface TrainedWeight {
  readonly weight: LayerVariable;
  /** Added to every gradient of the weight; its shape, row-major. */
  readonly offset: Float32Array | undefined;
}

export interface Sgd {
  readonly variables: tf.Variable[];
  /** One step. Weights without a gradient stay. For use in a tidy. */
  step(gradients: tf.NamedTensorMap): void;
  dispose(): void;
}

/**
 * The weights are always replaced, never changed in place: XNNPACK keeps packed copies of them by
 * tensor, and would go on multiplying by the old values.
 */
export function createSgd(weights: readonly TrainedWeight[], options: SgdOptions): Sgd {
  const { learningRate, momentum, proximalMu, dynamicAlpha = 0 } = options;
  const variables = weights.map(({ weight }) => variableOf(weight));
  const velocities: (tf.Tensor | undefined)[] = variables.map(() => undefined);
  const strength = proximalMu + dynamicAlpha;
  const start = variables.map((variable) => (strength > 0 ? tf.clone(variable) : undefined));
  const offsets = weights.map(
    ({ offset }, index) => offset && tf.tensor(offset, variables[index].shape, 'float32'),
  );

  const direction = (index: number, gradient: tf.Tensor): tf.Tensor => {
    const [from, offset] = [start[index], offsets[index]];
    const pull = from && tf.mul(tf.sub(variables[index], from), strength);
    const pulled = pull ? tf.add(gradient, pull) : gradient;
    const total = offset ? tf.add(pulled, offset) : pulled;
    if (momentum === 0) return total;
    const last = velocities[index];
    const velocity = tf.keep(last ? tf.add(tf.mul(last, momentum), total) : tf.clone(total));
    last?.dispose();
    velocities[index] = velocity;
    return velocity;
  };

  return {
    variables,
    step: (gradients) => {
      weights.forEach(({ weight }, index) => {
        const gradient = (gradients as Partial<tf.NamedTensorMap>)[variables[index].name];
        if (!gradient) return;
        const change = tf.mul(direction(index, gradient), learningRate);
        weight.write(tf.sub(variables[index], change));
      });
    },
    dispose: () => {
      const held = [...velocities, ...start, ...offsets];
      tf.dispose(held.filter((tensor) => tensor !== undefined));
    },
  };
}
