/** The numbers that every rule's round is told by, beside those of its own. */
import { byClientId } from '../cohort.js';
import type { Outcome, UpdateFacts } from './rule.js';

export interface CommonDiagnostics {
  /** Euclidean norm of the aggregate, before the server optimizer. */
  readonly updateNorm: number;
  /**
   * (sum w)^2 / sum w^2 over the weights given (Kish's effective sample size): K where all count
   * alike, 1 where one client decides alone, 0 where none was given any.
   */
  readonly effectiveClients: number;
  /** Mean of the norms of the updates: far over `updateNorm` where they cancel each other. */
  readonly meanUpdateNorm: number;
}

/** @param outcome what the rule gave; `delta` is the one before the optimizer. */
export function commonDiagnostics(
  { delta, weights }: Pick<Outcome, 'delta' | 'weights'>,
  updates: readonly Pick<UpdateFacts, 'clientId' | 'norm'>[],
): CommonDiagnostics {
  // Sums of doubles depend on their order, and updates come in the order of arrival.
  const cohort = [...updates].sort(byClientId);
  return {
    updateNorm: euclidean(delta),
    effectiveClients: effective(cohort.map(({ clientId }) => weightGiven(weights, clientId))),
    meanUpdateNorm: total(cohort, ({ norm }) => norm) / Math.max(1, cohort.length),
  };
}

/** A client may be called "constructor": what the rule did not give it must not be found elsewhere. */
export function weightGiven(weights: Outcome['weights'], clientId: string): number {
  return Object.hasOwn(weights, clientId) ? weights[clientId] : 0;
}

function euclidean(vector: Float64Array): number {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.sqrt(squares);
}

function effective(weights: readonly number[]): number {
  const sum = total(weights, (weight) => weight);
  const squares = total(weights, (weight) => weight * weight);
  return squares === 0 ? 0 : (sum * sum) / squares;
}

function total<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}
