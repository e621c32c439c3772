/**
 * Splitting one data set among clients, as the literature does it. Every example goes to exactly
 * one client; the same stream gives the same split.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { RandomStream } from '../core/random.js';
import { shuffled } from '../core/random.js';
import { dirichlet } from './dirichlet.js';

/** Positions in the data set, one list a client, each in a random order. */
export type Partition = readonly (readonly number[])[];

/** How often a Dirichlet split is drawn again before the poorest clients are topped up. */
const MAX_DRAWS = 100;

/** Equal shares, drawn without regard to labels; sizes differ by at most one. */
export function iidPartition(size: number, clients: number, random: RandomStream): Partition {
  checkClients(size, clients, 1);
  const order = shuffled(
    Array.from({ length: size }, (_, i) => i),
    random,
  );
  return Array.from({ length: clients }, (_, k) =>
    order.slice(Math.floor((k * size) / clients), Math.floor(((k + 1) * size) / clients)),
  );
}

/**
 * Label skew (Hsu, Qi, Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for
 * Federated Visual Classification", in the per-class form of Yurochkin et al. 2019 that FedLAW and
 * most others use): each class is dealt out in proportions drawn from Dirichlet(alpha). At .1 most
 * clients hold two or three classes; at 100 all have nearly the same mix.
 *
 * A split that leaves a client with fewer than `minExamples` is drawn again, as the published code
 * does. For settings where that would take for ever (many clients, alpha near 0), the split after
 * 100 draws is topped up: the poorest clients get random examples of the richest one.
 *
 * @param labels Class of each example.
 * @throws TributaryError `bad_request` where there are not enough examples for all.
 */
export function dirichletPartition(
  labels: ArrayLike<number>,
  clients: number,
  alpha: number,
  random: RandomStream,
  minExamples = 10,
): Partition {
  checkClients(labels.length, clients, minExamples);
  const classes = positionsByClass(labels);
  for (let draw = 1; ; draw++) {
    const parts = drawParts(classes, clients, alpha, random);
    const enough = parts.every((part) => part.length >= minExamples);
    if (!enough && draw < MAX_DRAWS) continue;
    // Dealt class by class: without this, a client that takes its batches in order would see one
    // class after the other.
    const mixed = parts.map((part) => shuffled(part, random));
    return enough ? mixed : toppedUp(mixed, minExamples);
  }
}

function checkClients(size: number, clients: number, minExamples: number): void {
  if (clients >= 1 && clients * minExamples <= size) return;
  const wanted = `${clients} clients with ${minExamples} or more each`;
  throw new TributaryError('bad_request', `${size} examples are not enough for ${wanted}`);
}

function positionsByClass(labels: ArrayLike<number>): number[][] {
  const classes = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const positions = classes.get(labels[i]);
    if (positions) positions.push(i);
    else classes.set(labels[i], [i]);
  }
  return [...classes.entries()].sort(([a], [b]) => a - b).map(([, positions]) => positions);
}

function drawParts(
  classes: readonly (readonly number[])[],
  clients: number,
  alpha: number,
  random: RandomStream,
): number[][] {
  const parts = Array.from({ length: clients }, (): number[] => []);
  for (const positions of classes) {
    const order = shuffled(positions, random);
    const shares = dirichlet(clients, alpha, random);
    let cumulative = 0;
    let start = 0;
    for (const [k, share] of shares.entries()) {
      cumulative += share;
      // The last client ends at the end: the shares' sum may be a rounding error away from 1.
      const end = k === clients - 1 ? order.length : Math.floor(cumulative * order.length);
      for (let i = start; i < end; i++) parts[k].push(order[i]);
      start = Math.max(start, end);
    }
  }
  return parts;
}

/** Parts are in random order already: taking from an end takes at random. */
function toppedUp(parts: number[][], minExamples: number): Partition {
  for (const poor of parts) {
    while (poor.length < minExamples) {
      const rich = parts.reduce((a, b) => (b.length > a.length ? b : a));
      poor.push(rich.pop()!);
    }
  }
  return parts;
}

/** One client's part of a split, for a table. */
export interface PartSummary {
  readonly size: number;
  /** Of all examples that were dealt. */
  readonly share: number;
  /** Examples of each class. */
  readonly histogram: readonly number[];
}

export function summarise(
  parts: Partition,
  labels: ArrayLike<number>,
  classes: number,
): PartSummary[] {
  const all = parts.reduce((sum, part) => sum + part.length, 0);
  return parts.map((part) => {
    const histogram = Array.from({ length: classes }, () => 0);
    for (const i of part) histogram[labels[i]]++;
    return { size: part.length, share: all === 0 ? 0 : part.length / all, histogram };
  });
}
