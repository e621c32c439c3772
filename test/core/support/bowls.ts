import type { LossOracle } from '../../../server/core/ports.js';

/** A batch for each goal, with the loss curvature |x - goal|^2 / 2. */
export function bowls(goals: readonly (readonly number[])[], curvature = 1): LossOracle {
  return {
    batches: goals.length,
    lossAndGrad(params, batch) {
      const off = goals[batch].map((goal, e) => params[e] - goal);
      const loss = (curvature * off.reduce((sum, x) => sum + x * x, 0)) / 2;
      return Promise.resolve({ loss, grad: Float32Array.from(off, (x) => curvature * x) });
    },
  };
}
