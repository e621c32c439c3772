/** The optimizers that walk in the space of mixtures. Their state lives for one round only. */

export interface DescentOptions {
  readonly serverOptimizer: 'adam' | 'sgd';
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Moves the point against the gradient, in place. */
export type Descent = (point: Float64Array, gradient: Float64Array) => void;

export function descent(options: DescentOptions, size: number): Descent {
  return options.serverOptimizer === 'adam' ? adam(options, size) : sgd(options);
}

function sgd({ learningRate }: DescentOptions): Descent {
  return (point, gradient) => {
    for (let i = 0; i < point.length; i++) point[i] -= learningRate * gradient[i];
  };
}

/** Kingma and Ba, ICLR 2015, with bias correction: as the authors of FedLAW used it. */
function adam({ learningRate, beta1, beta2, epsilon }: DescentOptions, size: number): Descent {
  const m = new Float64Array(size);
  const v = new Float64Array(size);
  let [power1, power2] = [1, 1];
  return (point, gradient) => {
    power1 *= beta1;
    power2 *= beta2;
    for (let i = 0; i < size; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
      v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i];
      const mean = m[i] / (1 - power1);
      const spread = Math.sqrt(v[i] / (1 - power2));
      point[i] -= (learningRate * mean) / (spread + epsilon);
    }
  };
}
