/** Updates that are brought down to a length. */
import type { UpdateFacts } from './rule.js';

/** The factor that brings a vector down to a length, never up: min(1, most / length). */
export function clip(length: number, most: number): number {
  return length > most ? most / length : 1;
}

/** The bound that held in a round, and how many updates were longer. */
export function boundDiagnostics(
  facts: readonly UpdateFacts[],
  bound: number,
): Record<string, number> {
  return { bound, clipped: facts.filter(({ norm }) => norm > bound).length };
}
