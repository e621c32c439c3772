/** Experiments on real digits: how they are dealt to clients, and the runs that are compared. */
import type { Dataset } from '../../client/tfjs/dataset.js';
import { subset } from '../../client/tfjs/dataset.js';
import type { Task } from '../../protocol/model.js';
import type { Role, RunSpecInput } from '../../protocol/run.js';
import { randomStream } from '../core/random.js';
import { loadDigits, splitDigits } from './digits.js';
import { turnedDigits } from './domain-shift.js';
import { dirichletPartition } from './partition.js';
import { digitsTask } from './tasks.js';

export interface StoryClient {
  readonly name: string;
  readonly role: Role;
  readonly data: Dataset;
}

/** One run of a story: what differs from the others. */
export interface StoryRun {
  readonly label: string;
  readonly rule: RunSpecInput['rule'];
  readonly usesProxy: boolean;
}

export interface Story {
  readonly title: string;
  readonly task: Task;
  readonly clients: readonly StoryClient[];
  /** Held out: nobody trains on it, and no oracle sees it. */
  readonly test: Dataset;
  readonly proxy: Dataset | null;
  readonly common: Pick<RunSpecInput, 'training' | 'trainingByRole' | 'quorum'> & {
    readonly seed: number;
    readonly rounds: number;
  };
  readonly runs: readonly StoryRun[];
}

/** Label skew: a Dirichlet(0.1) share for each client, FedAvg and FedLAW. */
export async function labelSkew(seed: number, rounds: number, clients: number): Promise<Story> {
  const split = splitDigits(await loadDigits(), seed, { test: 2000, proxy: 200 });
  const shares = dirichletPartition(
    split.clients.labels,
    clients,
    0.1,
    randomStream(seed, 'partition'),
  );
  return {
    title: `${split.clients.size} handwritten digits over ${clients} clients, Dirichlet(0.1)`,
    task: await digitsTask(),
    clients: shares.map((indices, k) => ({
      name: `client-${k + 1}`,
      role: 'source',
      data: subset(split.clients, indices),
    })),
    test: split.test,
    proxy: split.proxy,
    common: {
      seed,
      rounds,
      training: {
        epochs: 1,
        batchSize: 32,
        learningRate: 0.05,
        learningRateDecay: 0.99,
        momentum: 0.9,
      },
      quorum: { min: clients, share: 1 },
    },
    runs: [
      { label: 'FedAvg', rule: { name: 'fedavg' }, usesProxy: false },
      {
        label: 'FedLAW',
        rule: { name: 'fedlaw', options: { learningRate: 0.01 } },
        usesProxy: true,
      },
    ],
  };
}

/** Domain shift: one target with 100 turned digits, five upright sources of 800. */
export async function domainShift(seed: number, rounds: number): Promise<Story> {
  const { sources, target, test } = turnedDigits(await loadDigits(), seed);
  return {
    title: `5 sources of ${sources[0].size} upright digits, 1 target with ${target.size} turned by 45 degrees`,
    task: await digitsTask(),
    clients: [
      ...sources.map((data, k) => ({ name: `source-${k + 1}`, role: 'source' as const, data })),
      { name: 'target', role: 'target', data: target },
    ],
    test,
    proxy: null,
    common: {
      seed,
      rounds,
      training: { epochs: 1, batchSize: 32, learningRate: 0.05, momentum: 0.9 },
      trainingByRole: { target: { batchSize: 4 } },
      quorum: { min: 6, share: 1 },
    },
    runs: [
      { label: 'FedAvg', rule: { name: 'fedavg' }, usesProxy: false },
      { label: 'FedDA', rule: { name: 'fedda', options: { beta: 0.5 } }, usesProxy: false },
      { label: 'FedGP', rule: { name: 'fedgp', options: { beta: 0.5 } }, usesProxy: false },
    ],
  };
}

/** What a run of a story asks of the coordinator, given the blobs of its model and proxy set. */
export function specOf(
  story: Story,
  run: StoryRun,
  blobs: { readonly init: string; readonly proxy: string | null },
): RunSpecInput {
  const { proxy } = blobs;
  return {
    name: `${story.task.name}-${run.rule.name}`,
    task: story.task,
    rule: run.rule,
    ...story.common,
    init: { blob: blobs.init },
    cohort: { size: story.clients.length, waitMs: 60_000 },
    ...(run.usesProxy && proxy ? { oracle: { kind: 'proxy' as const, data: proxy } } : {}),
  };
}
