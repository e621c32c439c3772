/**
 * A task whose rounds take milliseconds and whose every bit follows from model, client and seed. Its
 * update is a quarter of a megabyte, so that it arrives in several pieces and is folded in several
 * tiles: there is a middle to be killed in.
 */
import type { Params, TrainFunction } from '../../client/types.js';
import type { TensorSpec } from '../../protocol/model.js';
import { elements, task } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { CLIENTS } from './boundaries.js';

export const faultTask = task.parse({
  name: 'faults',
  model: {
    format: 'opaque',
    body: {},
    tensors: [
      { name: 'kernel', shape: [200, 250] },
      { name: 'bias', shape: [10_000] },
      { name: 'running-mean', shape: [8], role: 'buffer' },
    ],
  },
  data: { features: { shape: [200] }, labels: { kind: 'value' } },
});

/** By client: what each reports, all different, so that a weight tells whose it is. */
export const examples: Readonly<Record<string, number>> = { ada: 30, bob: 50, cyd: 20 };
export const names = Object.keys(examples).slice(0, CLIENTS);

const { tensors } = faultTask.model;

export const initialModel = encodeSafetensors(
  Object.fromEntries(
    tensors.map(({ name, shape }) => [name, { shape, data: wave({ name, shape }, 1) }]),
  ),
);

/** Values in [-1, 1) that differ with the place and the seed, by integers only. */
function wave({ shape }: Pick<TensorSpec, 'name' | 'shape'>, seed: number): Float32Array {
  const values = new Float32Array(elements(shape));
  let state = seed >>> 0;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[i] = state / 2 ** 31 - 1;
  }
  return values;
}

/** Goes a third of the way to the client's own optimum, with noise from the assignment's seed. */
export function faultTrainer(client: string): TrainFunction {
  const optimum = Object.fromEntries(
    tensors.map((spec, i) => [spec.name, wave(spec, 977 * (names.indexOf(client) + 1) + i)]),
  );
  return ({ model, seed }) => {
    const params: Record<string, Float32Array> = {};
    for (const spec of tensors) params[spec.name] = moved(model, optimum, wave(spec, seed), spec);
    const numExamples = examples[client];
    return Promise.resolve({ params, numExamples, numSteps: 3, metrics: { loss: 1 } });
  };
}

function moved(
  model: Params,
  optimum: Params,
  noise: Float32Array,
  { name }: TensorSpec,
): Float32Array {
  return model[name].map((w, i) => w + (optimum[name][i] - w) / 3 + noise[i] / 20);
}

/** A run that takes an update of every client in every round, and an optimizer with a state to find again. */
export function faultRun(rounds: number): Omit<RunSpecInput, 'init'> {
  return {
    name: 'faults',
    task: faultTask,
    rule: { name: 'fedavg' },
    optimizer: { name: 'adam', options: { eta: 0.05 } },
    seed: 21,
    rounds,
    evaluateEvery: 0,
    cohort: { size: CLIENTS, waitMs: 600_000 },
    quorum: { min: CLIENTS, share: 1 },
    // A busy machine never decides who counts: the checkpoints must be those of any other run.
    deadlineMs: 600_000,
    graceMs: 600_000,
    leaseMs: 600_000,
    retries: 0,
  };
}
