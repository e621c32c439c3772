/**
 * What Adagrad, Adam and Yogi have in common. Reddi et al.: "Adaptive Federated Optimization", ICLR
 * 2021, algorithm 2: they differ in one line, how v follows D^2.
 */
import type { ServerOptimizer } from './optimizer.js';
import { slot } from './slots.js';

interface AdaptiveOptions {
  readonly eta: number;
  readonly beta1: number;
  readonly tau: number;
}

interface AdaptiveDefinition<O> extends Pick<ServerOptimizer<O>, 'name' | 'summary' | 'options'> {
  /** v of one parameter after this round, from the one before and its D. */
  readonly second: (v: number, d: number, options: O) => number;
}

/** Without bias correction, as the paper has it; v starts at tau^2. */
export function adaptive<O extends AdaptiveOptions>({
  second,
  ...described
}: AdaptiveDefinition<O>): ServerOptimizer<O> {
  return {
    ...described,
    paper: 'Reddi et al., ICLR 2021, "Adaptive Federated Optimization"',
    apply(delta, state, options) {
      const { beta1, tau } = options;
      const m = slot(state, 'm', delta.length, 0);
      const v = slot(state, 'v', delta.length, tau * tau);
      const step = delta.map((d, i) => {
        m[i] = beta1 * m[i] + (1 - beta1) * d;
        v[i] = second(v[i], d, options);
        return stepOf(m[i], v[i], options);
      });
      return { delta: step, state: { ...state, tensors: { m, v } } };
    },
  };
}

/**
 * eta m / (sqrt(v) + tau) for one parameter. With tau 0, one that never had a gradient has v = 0 and
 * nowhere to go: it stays, where 0 / 0 would make the model NaN.
 */
function stepOf(m: number, v: number, { eta, tau }: AdaptiveOptions): number {
  const scale = Math.sqrt(v) + tau;
  return scale === 0 ? 0 : (eta * m) / scale;
}
