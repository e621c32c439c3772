/**
 * The Fed-Heart-Disease benchmark of FLamby (du Terrail et al., NeurIPS 2022 Datasets and Benchmarks,
 * "FLamby: Datasets and Benchmarks for Cross-Silo Federated Learning in Realistic Healthcare
 * Settings"), by the protocol in the README of the data: four hospitals in every round, logistic
 * regression, 15 rounds of 100 SGD steps with batches of 4.
 *
 * As in FLamby, updates are weighted by examples, also SCAFFOLD's. Its loaders keep their place from
 * round to round; here a hospital shuffles anew in each, as every client of ours does.
 */
import type { Dataset } from '../../client/tfjs/dataset.js';
import type { Params } from '../../client/types.js';
import { TributaryError } from '../../protocol/errors.js';
import type { ExperimentResult } from './experiment.js';
import { runExperiment } from './experiment.js';
import { dealHeart } from './dealing.js';
import type { HeartCentre } from './heart.js';
import { HEART_FEATURES } from './heart.js';
import { areaUnderCurve, mean } from './statistics.js';
import type { Story, StoryRun } from './stories.js';
import { heartTask } from './tasks.js';

/** What one model, or the constant, scores. */
export interface HeartScores {
  /** By centre, in the order of the benchmark. */
  readonly centres: readonly HeartCentreScore[];
  /** Mean accuracy over the centres. */
  readonly unweighted: number;
  /** Accuracy over all test patients. */
  readonly weighted: number;
  /** Mean AUC over the centres that have one; null where none has. */
  readonly auc: number | null;
}

export interface HeartCentreScore {
  readonly name: string;
  /** Test patients. */
  readonly examples: number;
  readonly accuracy: number;
  /** Null where only one class occurs, or nothing was ranked. */
  readonly auc: number | null;
}

const tau = 1e-8;
const moments = { beta1: 0.9, beta2: 0.999 };

/** Rules and settings, as the protocol gives them. */
export const heartRuns: readonly StoryRun[] = [
  runOf('FedAvg', { name: 'fedavg' }, 0.001),
  runOf('FedProx', { name: 'fedprox', options: { mu: 0.01 } }, 0.001),
  runOf('SCAFFOLD', { name: 'scaffold', options: { weights: 'examples' } }, 0.001),
  runOf('FedAdam', { name: 'fedavg' }, 0.01, {
    name: 'adam',
    options: { eta: 0.01, tau, ...moments },
  }),
  runOf('FedYogi', { name: 'fedavg' }, 0.003162, {
    name: 'yogi',
    options: { eta: 0.01, tau, ...moments },
  }),
  runOf('FedAdagrad', { name: 'fedavg' }, 0.003162, {
    name: 'adagrad',
    options: { eta: 0.316228, tau, beta1: moments.beta1 },
  }),
];

function runOf(
  label: string,
  rule: StoryRun['rule'],
  learningRate: number,
  optimizer?: StoryRun['optimizer'],
): StoryRun {
  const training = { learningRate };
  return { label, rule, usesProxy: false, training, ...(optimizer && { optimizer }) };
}

export interface HeartSizes {
  readonly rounds: number;
  /** A round and centre. */
  readonly steps: number;
}

export const heartSizes: HeartSizes = { rounds: 15, steps: 100 };

export async function heartStory(
  centres: readonly HeartCentre[],
  seed: number,
  { rounds, steps }: HeartSizes,
): Promise<Story> {
  const clients = centres.length;
  return {
    ...dealHeart(centres, { seed, clients, partition: { kind: 'natural' }, proxy: 0 }),
    title: 'heart disease at four hospitals',
    task: await heartTask(),
    common: {
      seed,
      rounds,
      training: { steps, batchSize: 4 },
      quorum: { min: clients, share: 1 },
      evaluateEvery: rounds,
    },
    runs: heartRuns,
  };
}

/** Plays one rule of the benchmark under the story's seed. @throws as {@link runExperiment} does. */
export async function heartScores(
  story: Story,
  run: StoryRun,
  centres: readonly HeartCentre[],
): Promise<HeartScores> {
  const result = await runExperiment(story, run);
  return scoresOf(
    centres.map(({ name, test }) => ({
      name,
      examples: test.size,
      accuracy: accuracyAt(result, name),
      auc: areaUnderCurve(logits(result.model, test), test.labels),
    })),
  );
}

/** As the centre itself reported it. */
function accuracyAt({ rounds }: ExperimentResult, centre: string): number {
  const accuracy = rounds.at(-1)?.evaluation?.sites[`${centre}-test`]?.metrics.accuracy;
  if (accuracy !== undefined) return accuracy;
  throw new TributaryError('internal', `${centre} reported no accuracy`);
}

/** x w + b for each example: what the benchmark's model computes before its sigmoid. */
function logits(model: Params, { features, size }: Dataset): number[] {
  const width = HEART_FEATURES.length;
  const { 'logistic/kernel': kernel, 'logistic/bias': bias } = model;
  return Array.from({ length: size }, (_, row) =>
    kernel.reduce((sum, weight, i) => sum + weight * features[row * width + i], bias[0]),
  );
}

/** The constant that predicts the majority of each centre's own training patients. */
export function constantScores(centres: readonly HeartCentre[]): HeartScores {
  return scoresOf(
    centres.map(({ name, train, test }) => {
      const majority = Number(mean([...train.labels]) > 0.5);
      const right = [...test.labels].filter((label) => label === majority).length;
      return { name, examples: test.size, accuracy: right / test.size, auc: null };
    }),
  );
}

function scoresOf(centres: readonly HeartCentreScore[]): HeartScores {
  const examples = centres.reduce((sum, centre) => sum + centre.examples, 0);
  const right = centres.reduce((sum, { accuracy, examples: n }) => sum + accuracy * n, 0);
  const areas = centres.flatMap(({ auc }) => auc ?? []);
  return {
    centres,
    unweighted: mean(centres.map(({ accuracy }) => accuracy)),
    weighted: right / examples,
    auc: areas.length > 0 ? mean(areas) : null,
  };
}
