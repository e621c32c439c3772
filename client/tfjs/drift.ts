/**
 * The clients' halves of rules against client drift: what is added to the gradients of local steps,
 * and what is left when these are done. Vectors go over the shared tensors; one that is missing, as
 * in the first round, is zero.
 *
 * SCAFFOLD (Karimireddy et al., ICML 2020, option II), from the broadcast `control` c and the kept
 * `control` c_i:  g + c - c_i;  dc_i = -c - D_i / (steps lr) goes up, c_i + dc_i is kept.
 *
 * FedDyn (Acar et al., ICLR 2021), from the kept `gradient` g_i:  g - g_i + alpha (w - w_t);
 * g_i - alpha D_i is kept.
 */
import { TributaryError } from '../../protocol/errors.js';
import { elements } from '../../protocol/model.js';
import type { TensorSpec, TrainingConfig } from '../../protocol/model.js';
import { checkParams, sharedTensors } from '../params.js';
import type { Params, TrainRequest, TrainResult, Vectors } from '../types.js';

/** SCAFFOLD's vector, in the protocol: broadcast, kept, and sent up. */
export const CONTROL = 'control';
const GRADIENT = 'gradient';

export interface LocalSteps {
  /** The trained model. */
  readonly params: Params;
  readonly numSteps: number;
  readonly learningRate: number;
}

export interface DriftCorrection {
  /** Added to every gradient of a tensor, by its name. */
  readonly offsets: ReadonlyMap<string, Float32Array>;
  /** What goes up beside the delta, and what is kept. */
  results(steps: LocalSteps): Pick<TrainResult, 'vectors' | 'keep'>;
}

/**
 * @throws TributaryError `bad_request` for a configuration that has no meaning, `bad_model` where a
 * vector does not fit the model.
 */
export function driftCorrection(
  { config, model, broadcast, kept }: Pick<TrainRequest, 'config' | 'model' | 'broadcast' | 'kept'>,
  tensors: readonly TensorSpec[],
): DriftCorrection {
  checkConfig(config);
  const shared = sharedTensors(tensors);
  const { controlVariates, dynamicAlpha = 0 } = config;
  if (controlVariates)
    return scaffold(model, vectorOf(broadcast, CONTROL, shared), vectorOf(kept, CONTROL, shared));
  if (dynamicAlpha > 0) return dynamic(model, vectorOf(kept, GRADIENT, shared), dynamicAlpha);
  return { offsets: new Map(), results: () => ({}) };
}

function checkConfig({ controlVariates, dynamicAlpha = 0, momentum }: TrainingConfig): void {
  if (!controlVariates) return;
  const refuse = (why: string): never => {
    throw new TributaryError('bad_request', `training.controlVariates: ${why}`);
  };
  // D_i / (steps lr) would no longer be the mean of the gradients.
  if (momentum > 0) refuse(`local momentum must be 0, not ${momentum}`);
  if (dynamicAlpha > 0) refuse('it cannot be combined with training.dynamicAlpha');
}

function scaffold(model: Params, global: Params, own: Params): DriftCorrection {
  return {
    offsets: new Map(Object.entries(combined(global, own, (c, ci) => c - ci))),
    results: ({ params, numSteps, learningRate }) => {
      const length = numSteps * learningRate;
      const delta = deltaOf(own, model, params);
      const change = combined(global, delta, (c, d) => -c - d / length);
      return {
        vectors: { [CONTROL]: change },
        // From the change as it is sent, rounding and all: c stays the mean of what clients keep.
        keep: { [CONTROL]: combined(own, change, (ci, dc) => ci + dc) },
      };
    },
  };
}

function dynamic(model: Params, own: Params, alpha: number): DriftCorrection {
  return {
    offsets: new Map(Object.entries(own).map(([name, g]) => [name, g.map((value) => -value)])),
    results: ({ params }) => {
      const delta = deltaOf(own, model, params);
      return { keep: { [GRADIENT]: combined(own, delta, (g, d) => g - alpha * d) } };
    },
  };
}

/** D_i as it is sent, of the tensors of `shared`. */
function deltaOf(shared: Params, model: Params, params: Params): Params {
  const trained = Object.keys(shared).map((name) => [name, params[name]] as const);
  return combined(Object.fromEntries(trained), model, (after, before) => after - before);
}

function vectorOf(
  vectors: Vectors | undefined,
  name: string,
  shared: readonly TensorSpec[],
): Params {
  const vector = vectors && Object.hasOwn(vectors, name) ? vectors[name] : undefined;
  if (vector) checkParams(vector, shared);
  const zeros = (shape: readonly number[]): Float32Array => new Float32Array(elements(shape));
  return Object.fromEntries(
    shared.map(({ name: tensor, shape }) => [tensor, vector?.[tensor] ?? zeros(shape)]),
  );
}

/** Element by element in float64, rounded to float32 once. The tensors of `a`. */
function combined(a: Params, b: Params, of: (x: number, y: number) => number): Params {
  return Object.fromEntries(
    Object.entries(a).map(([name, x]) => [name, x.map((value, i) => of(value, b[name][i]))]),
  );
}
