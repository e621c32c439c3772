/** Experiments on real digits: how they are dealt to clients, and the runs that are compared. */
import type { Dataset } from '../../client/tfjs/dataset.js';
import type { Task } from '../../protocol/model.js';
import type { Role, RunSpecInput } from '../../protocol/run.js';
import type { BoundAttack } from './attacks/attack.js';
import { dealDigits } from './dealing.js';
import { loadDigits } from './digits.js';
import { turnedDigits } from './domain-shift.js';
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
  /** By default the aggregate is added as it is. */
  readonly optimizer?: RunSpecInput['optimizer'];
  readonly after?: RunSpecInput['after'];
  /** What this run trains otherwise than the story. */
  readonly training?: RunSpecInput['training'];
}

/** Who attacks, and how. */
export interface StoryAttack {
  readonly attack: BoundAttack;
  /** Names of clients. */
  readonly attackers: ReadonlySet<string>;
}

export interface Story {
  readonly title: string;
  readonly task: Task;
  readonly clients: readonly StoryClient[];
  /** Held out: nobody trains on it, and no oracle sees it. */
  readonly test: Dataset;
  /** Who evaluates on what; by default one evaluator on all of `test`. */
  readonly sites?: readonly Site[];
  readonly proxy: Dataset | null;
  readonly attack?: StoryAttack | null;
  readonly common: Pick<
    RunSpecInput,
    'training' | 'trainingByRole' | 'quorum' | 'cohort' | 'caps' | 'evaluateEvery'
  > & {
    readonly seed: number;
    readonly rounds: number;
  };
  readonly runs: readonly StoryRun[];
}

/** A part of the held-out data, under the name of the evaluator that has it. */
export interface Site {
  readonly name: string;
  readonly data: Dataset;
}

/** Label skew: a Dirichlet(0.1) share for each client, FedAvg and FedLAW. */
export async function labelSkew(seed: number, rounds: number, clients: number): Promise<Story> {
  const partition = { kind: 'dirichlet' as const, alpha: 0.1 };
  const dealt = dealDigits(await loadDigits(), {
    seed,
    clients,
    partition,
    test: 2000,
    proxy: 200,
  });
  const digits = dealt.clients.reduce((sum, { data }) => sum + data.size, 0);
  return {
    ...dealt,
    title: `${digits} handwritten digits over ${clients} clients, Dirichlet(0.1)`,
    task: await digitsTask(),
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

/** What a rule with a proxy set must beat in {@link labelSkew}, to be worth the proxy set. */
export const labelSkewControls: readonly StoryRun[] = [
  { label: 'best-client', rule: { name: 'best-client' }, usesProxy: true },
  { label: 'proxy-only', rule: { name: 'proxy-only' }, usesProxy: true },
  { label: 'proxy-finetune', rule: { name: 'proxy-finetune' }, usesProxy: true },
];

/** What a rule must beat in {@link domainShift}, to be worth the sources. */
export const domainShiftControls: readonly StoryRun[] = [
  { label: 'target-only', rule: { name: 'target-only' }, usesProxy: false },
];

/** What a run of a story asks of the coordinator, given the blobs of its model and proxy set. */
export function specOf(
  story: Story,
  run: StoryRun,
  blobs: { readonly init: string; readonly proxy: string | null },
): RunSpecInput {
  const { proxy } = blobs;
  const { rule, optimizer, after, training } = run;
  return {
    name: `${story.task.name}-${rule.name}`,
    task: story.task,
    rule,
    ...(optimizer && { optimizer }),
    ...(after && { after }),
    // Clients take turns on one processor: who is silent waits for its own.
    leaseMs: 600_000,
    cohort: { size: story.clients.length, overSelection: 1, waitMs: 60_000 },
    ...story.common,
    ...(training && { training: { ...story.common.training, ...training } }),
    init: { blob: blobs.init },
    ...(run.usesProxy && proxy ? { oracle: { kind: 'proxy' as const, data: proxy } } : {}),
  };
}
