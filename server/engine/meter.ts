/** What the engine tells whoever counts. Metrics are made of it (adapters/metrics.ts). */
import type { RoundChanges } from '../core/records.js';
import type { Round } from '../core/round.js';

export interface Meter {
  roundEnded(outcome: 'committed' | 'abandoned'): void;
  /** Blobs that nothing needed any more were deleted. */
  collected(blobs: number): void;
}

/** How a round ended by the step that was stored; null where it goes on, or had ended before. */
export function outcomeOf(
  { phase }: Round,
  { checkpoint }: RoundChanges,
): Parameters<Meter['roundEnded']>[0] | null {
  // A round that is evaluated was committed with its model, in the step before.
  if (checkpoint) return 'committed';
  return phase === 'abandoned' ? 'abandoned' : null;
}
