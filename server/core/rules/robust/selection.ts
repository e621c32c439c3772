/** What rules do that keep some updates and drop the others. */
import type { z } from 'zod';
import { robustWeight } from '../robust-weights.js';
import type { robustWeights } from '../robust-weights.js';
import type { Coefficients, UpdateFacts } from '../rule.js';
import { medianOf } from '../statistics.js';

interface Voices {
  readonly weights: z.infer<typeof robustWeights>;
}

/** The share of every update that the option `weights` gives it; all of them add up to 1. */
export function sharesOf(updates: readonly UpdateFacts[], voices: Voices): number[] {
  const weights = updates.map((facts) => robustWeight(facts, voices));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/**
 * The mean over the updates that were selected, each scaled by its factor first. Where none was,
 * the model stays as it is.
 */
export function meanOver(
  updates: readonly UpdateFacts[],
  selected: readonly number[],
  voices: Voices,
  factor: (update: number) => number = () => 1,
): Coefficients {
  const coefficients = updates.map(() => 0);
  const shares = sharesOf(
    selected.map((update) => updates[update]),
    voices,
  );
  selected.forEach((update, i) => (coefficients[update] = shares[i] * factor(update)));
  return { model: 1, updates: coefficients };
}

/** The places of the `count` lowest scores; equal ones in client-id order. In client-id order. */
export function lowest(scores: readonly number[], count: number): number[] {
  return scores
    .map((_, place) => place)
    .sort((a, b) => scores[a] - scores[b] || a - b)
    .slice(0, count)
    .sort((a, b) => a - b);
}

/** How many were taken, to be plotted over the rounds. */
export function selectionDiagnostics(selected: number, of: number): Record<string, number> {
  return { selected, dropped: of - selected };
}

/** Where the scores lie: a highest far above the median is somebody who stands apart. */
export function scoreDiagnostics(scores: readonly number[]): Record<string, number> {
  return {
    scoreLowest: Math.min(...scores),
    scoreMedian: medianOf(scores),
    scoreHighest: Math.max(...scores),
  };
}
