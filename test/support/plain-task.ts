/**
 * A model that only its clients understand, and training in a few lines of plain arithmetic: whole
 * runs take milliseconds, and every bit follows from the model, the client and the seed.
 */
import type { EvaluateFunction, Params, TrainFunction } from '../../client/types.js';
import type { TensorSpec } from '../../protocol/model.js';
import { elements, task } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { randomStream } from '../../server/core/random.js';

/** Each kind of tensor: shared ones of two ranks and a scalar, a buffer, and a frozen one. */
export const plainTask = task.parse({
  name: 'plain',
  model: {
    format: 'opaque',
    body: { made: 'for tests' },
    tensors: [
      { name: 'kernel', shape: [3, 2] },
      { name: 'running-mean', shape: [2], role: 'buffer' },
      { name: 'bias', shape: [2] },
      { name: 'temperature', shape: [] },
      { name: 'vocabulary', shape: [4], role: 'frozen' },
    ],
  },
  data: { features: { shape: [3] }, labels: { kind: 'value' } },
  metrics: ['error'],
});

/** Values that depend on nothing but the labels, in [-scale, scale). */
function drawn(
  specs: readonly TensorSpec[],
  scale: number,
  ...labels: (string | number)[]
): Params {
  return Object.fromEntries(
    specs.map(({ name, shape }) => {
      const random = randomStream('plain task', ...labels, name);
      const values = Array.from({ length: elements(shape) }, () => random.uniform());
      return [name, Float32Array.from(values, (value) => scale * (2 * value - 1))];
    }),
  );
}

const { tensors } = plainTask.model;
const sharedTensors = tensors.filter(({ role }) => role === 'shared');

/** The model that runs start from. */
export const initialParams: Params = drawn(tensors, 1, 'start');

export const initialModel: Uint8Array = encodeSafetensors(
  Object.fromEntries(
    tensors.map(({ name, shape }) => [name, { shape, data: initialParams[name] }]),
  ),
);

/**
 * A trainer that goes a third of the way to the client's own optimum, with noise from the
 * assignment's seed. Where the rule asks for it, it sends three updates of single batches.
 */
export function plainTrainer(client: string, numExamples: number): TrainFunction {
  const optimum = drawn(tensors, 2, 'optimum', client);
  return ({ model, seed, vectors, config }) => {
    const noise = drawn(tensors, 0.05, 'noise', seed);
    const params = mapValues(
      model,
      (w, name, i) => w + (optimum[name][i] - w) / 3 + noise[name][i],
    );
    const batch = (j: number): Params => drawn(sharedTensors, 0.3, 'batch', client, seed, j);
    return Promise.resolve({
      params,
      numExamples,
      numSteps: 3,
      metrics: { loss: error(params, optimum), learningRate: config.learningRate },
      ...(vectors.includes('batch') && {
        vectors: { 'batch.0': batch(0), 'batch.1': batch(1), 'batch.2': batch(2) },
      }),
    });
  };
}

/** Reports the distance to the client's optimum, as if each of its examples had it. */
export function plainEvaluator(client: string, numExamples: number): EvaluateFunction {
  const optimum = drawn(tensors, 2, 'optimum', client);
  return ({ model }) => {
    const sums = { error: numExamples * error(model, optimum) };
    return Promise.resolve({ numExamples, sums });
  };
}

function error(params: Params, optimum: Params): number {
  let sum = 0;
  for (const { name } of sharedTensors) {
    params[name].forEach((value, i) => (sum += Math.abs(value - optimum[name][i])));
  }
  return sum;
}

function mapValues(params: Params, map: (w: number, name: string, i: number) => number): Params {
  return Object.fromEntries(
    Object.entries(params).map(([name, values]) => [name, values.map((w, i) => map(w, name, i))]),
  );
}

/** A run of the plain task that waits for every one of `clients` clients. */
export function plainRun(
  clients: number,
  overrides: Partial<RunSpecInput> = {},
): Omit<RunSpecInput, 'init'> {
  return {
    name: 'plain',
    task: plainTask,
    rule: { name: 'fedavg' },
    seed: 11,
    rounds: 3,
    cohort: { size: clients, waitMs: 120_000 },
    quorum: { min: clients, share: 1 },
    // Long enough that a busy machine never decides the outcome of a test.
    graceMs: 120_000,
    ...overrides,
  };
}
