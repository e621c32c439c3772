/** Bounds on the norm of updates, for both norm-bound rules. */
import type { UpdateFacts } from '../rule.js';

/** What is left of an update when its norm is brought down to `bound`: min(1, C / |D|). */
export function kept({ norm }: Pick<UpdateFacts, 'norm'>, bound: number): number {
  return norm <= bound ? 1 : bound / norm;
}

export function boundDiagnostics(
  facts: readonly UpdateFacts[],
  bound: number,
): Record<string, number> {
  return { bound, clipped: facts.filter(({ norm }) => norm > bound).length };
}
