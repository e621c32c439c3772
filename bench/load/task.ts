/** Softmax regression on digits as far as its size goes; training is a step towards zero. */
import { task } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';

export const loadTask = task.parse({
  name: 'load',
  model: {
    format: 'opaque',
    body: {},
    tensors: [
      { name: 'kernel', shape: [784, 10] },
      { name: 'bias', shape: [10] },
    ],
  },
  data: { features: { shape: [784] }, labels: { kind: 'class', classes: 10 } },
});

export const initialModel = encodeSafetensors({
  kernel: { shape: [784, 10], data: new Float32Array(7840).fill(1) },
  bias: { shape: [10], data: new Float32Array(10).fill(1) },
});

export interface LoadRun {
  readonly name: string;
  readonly rounds: number;
  /** Updates wanted in each round. */
  readonly wanted: number;
  readonly seed: number;
}

/** From the invitation to the close of a round, at most. */
export const DEADLINE_MS = 15_000;

export function loadRun({ name, rounds, wanted, seed }: LoadRun): Omit<RunSpecInput, 'init'> {
  return {
    name,
    task: loadTask,
    rule: { name: 'fedavg' },
    seed,
    rounds,
    evaluateEvery: 0,
    cohort: { size: wanted, overSelection: 1.3, waitMs: 5_000 },
    quorum: { min: Math.ceil(wanted / 2), share: 0.7 },
    deadlineMs: DEADLINE_MS,
    graceMs: 1_000,
    leaseMs: 3_000,
    retries: 20,
    keepCheckpoints: 5,
  };
}
