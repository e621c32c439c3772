/** How the data of a task is dealt to clients, the test set and the coordinator's proxy set. */
import { z } from 'zod';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { subset } from '../../client/tfjs/dataset.js';
import { TributaryError } from '../../protocol/errors.js';
import { randomStream, shuffled } from '../core/random.js';
import { splitDigits } from './digits.js';
import { turnedDigits } from './domain-shift.js';
import type { HeartCentre } from './heart.js';
import type { Partition } from './partition.js';
import { dirichletPartition, iidPartition } from './partition.js';
import type { Site, StoryClient } from './stories.js';

export const partition = z.discriminatedUnion('kind', [
  /** Equal shares without regard to labels. */
  z.strictObject({ kind: z.literal('iid') }),
  /** Label skew: each class dealt out in proportions drawn from Dirichlet(alpha). */
  z.strictObject({ kind: z.literal('dirichlet'), alpha: z.number().positive() }),
  /** As the data was collected: the four hospitals of `heart-disease`. */
  z.strictObject({ kind: z.literal('natural') }),
  /** Domain shift of digits: upright sources, and one target with few digits, turned. */
  z.strictObject({
    kind: z.literal('turned'),
    degrees: z.number().default(45),
    perSource: z.int().positive().default(800),
    target: z.int().positive().default(100),
  }),
]);
export type PartitionSpec = z.infer<typeof partition>;

export interface Dealing {
  readonly seed: number;
  readonly clients: number;
  readonly partition: PartitionSpec;
  /** Held-out examples. */
  readonly test: number;
  /** Examples for the coordinator's oracle; 0 for none. */
  readonly proxy: number;
}

export interface Dealt {
  readonly clients: readonly StoryClient[];
  readonly test: Dataset;
  readonly sites?: readonly Site[];
  readonly proxy: Dataset | null;
}

/** @throws TributaryError `bad_request` for a partition that digits do not have. */
export function dealDigits(digits: Dataset, dealing: Dealing): Dealt {
  const { seed, clients, partition: spec, test, proxy } = dealing;
  if (spec.kind === 'turned') return dealTurned(digits, dealing, spec);
  const split = splitDigits(digits, seed, { test, proxy });
  const parts = partsOf(split.clients, clients, spec, seed);
  return {
    clients: named(parts.map((indices) => subset(split.clients, indices))),
    test: split.test,
    proxy: proxy > 0 ? split.proxy : null,
  };
}

function dealTurned(
  digits: Dataset,
  { seed, clients, test, proxy }: Dealing,
  { degrees, perSource, target }: Extract<PartitionSpec, { kind: 'turned' }>,
): Dealt {
  if (proxy > 0) refuse('"turned" has no proxy set: leave "proxy" out');
  const sizes = { sources: clients - 1, perSource, target, test, degrees };
  const shift = turnedDigits(digits, seed, sizes);
  const sources = shift.sources.map((data, k) => ({
    ...{ name: `source-${k + 1}`, role: 'source' as const, data },
  }));
  const client = { name: 'target', role: 'target' as const, data: shift.target };
  return { clients: [...sources, client], test: shift.test, proxy: null };
}

/**
 * Heart disease: the hospitals as they are, or all training patients dealt anew. The test patients
 * are always those of the benchmark, evaluated hospital by hospital.
 *
 * @throws TributaryError `bad_request`.
 */
export function dealHeart(centres: readonly HeartCentre[], dealing: Omit<Dealing, 'test'>): Dealt {
  const { seed, clients, partition: spec, proxy } = dealing;
  const sites = centres.map(({ name, test }) => ({ name: `${name}-test`, data: test }));
  const test = joined(sites.map(({ data }) => data));
  if (spec.kind === 'natural') {
    if (proxy > 0)
      refuse('"natural" has no proxy set: leave "proxy" out, or deal the patients anew');
    const hospitals = centres.map(({ name, train }) => ({
      ...{ name, role: 'source' as const, data: train },
    }));
    return { clients: hospitals, test, sites, proxy: null };
  }
  const everybody = joined(centres.map(({ train }) => train));
  const order = shuffled(
    Array.from({ length: everybody.size }, (_, i) => i),
    randomStream(seed, 'split'),
  );
  if (proxy >= everybody.size) refuse(`proxy: there are ${everybody.size} patients`);
  const patients = subset(everybody, order.slice(proxy));
  const parts = partsOf(patients, clients, spec, seed);
  return {
    clients: named(parts.map((indices) => subset(patients, indices))),
    test,
    sites,
    proxy: proxy > 0 ? subset(everybody, order.slice(0, proxy)) : null,
  };
}

function partsOf(data: Dataset, clients: number, spec: PartitionSpec, seed: number): Partition {
  const random = randomStream(seed, 'partition');
  switch (spec.kind) {
    case 'iid':
      return iidPartition(data.size, clients, random);
    case 'dirichlet':
      return dirichletPartition(data.labels, clients, spec.alpha, random);
    default:
      return refuse(`this task has no partition "${spec.kind}": use iid or dirichlet`);
  }
}

function named(shares: readonly Dataset[]): StoryClient[] {
  return shares.map((data, k) => ({ name: `client-${k + 1}`, role: 'source', data }));
}

/** One after the other. */
export function joined(sets: readonly Dataset[]): Dataset {
  return {
    features: Float32Array.from(sets.flatMap(({ features }) => [...features])),
    labels: Int32Array.from(sets.flatMap(({ labels }) => [...labels])),
    size: sets.reduce((sum, { size }) => sum + size, 0),
  };
}

function refuse(problem: string): never {
  throw new TributaryError('bad_request', `simulation: ${problem}`);
}
