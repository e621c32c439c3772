/**
 * The TF.js side of the SDK, loaded when it is first used: who trains with something else bundles
 * and parses none of TF.js.
 */
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { ModelSpec } from '../protocol/model.js';
import type { ClientOracle } from './oracle.js';
import type { Backend } from './tfjs/backend.js';
import type { TfjsOracleOptions } from './tfjs/oracle.js';
import type { TfjsOptions } from './tfjs/trainer.js';
import type { EvaluateFunction, Params, TrainFunction } from './types.js';

export type { Backend } from './tfjs/backend.js';
export type { TfjsOptions } from './tfjs/trainer.js';

/** A `train` for models in TF.js layers: see `tfjsTrainer` of client/tfjs/trainer.ts. */
export function tfjsTrainer(options: TfjsOptions): TrainFunction {
  const trainer = once(async () => (await import('./tfjs/trainer.js')).tfjsTrainer(options));
  return async (request) => (await trainer())(request);
}

/** An `evaluate` for models in TF.js layers: see `tfjsEvaluator` of client/tfjs/trainer.ts. */
export function tfjsEvaluator(options: TfjsOptions): EvaluateFunction {
  const evaluator = once(async () => (await import('./tfjs/trainer.js')).tfjsEvaluator(options));
  return async (request) => (await evaluator())(request);
}

/** An `oracle` on local examples, which are taken in batches of `batchSize`, in their order. */
export function tfjsClientOracle(
  options: Omit<TfjsOracleOptions, 'task' | 'buffers'>,
): ClientOracle {
  return {
    batches: Math.ceil(options.data.size / options.batchSize),
    open: async (task, buffers) =>
      (await import('./tfjs/oracle.js')).tfjsOracle({ ...options, task, buffers }),
  };
}

/** See client/tfjs/backend.ts. Need not be called: training does it. Tells what there is. */
export async function prepareBackend(preferred?: string): Promise<Backend> {
  return (await import('./tfjs/backend.js')).prepareBackend(preferred);
}

/** The model part of a task: see client/tfjs/model.ts. */
export async function modelSpecOf(model: LayersModel): Promise<ModelSpec> {
  return (await import('./tfjs/model.js')).modelSpecOf(model);
}

/** Values to start a run from, the same for the same seed: see client/tfjs/model.ts. */
export async function initialParams(spec: ModelSpec, seed: number): Promise<Params> {
  return (await import('./tfjs/model.js')).initialParams(spec, seed);
}

/** Makes it at the first call; a failure, such as a chunk that did not load, is tried again. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
