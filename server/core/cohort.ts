/** Who is invited to a round: a seeded draw, the same for the same seed, round and candidates. */
import type { RunSpec } from '../../protocol/run.js';
import { randomStream, shuffled } from './random.js';
import type { Candidate, Round } from './round.js';

/** Client-id order: UTF-16 code units, the same on every machine and in every locale. */
export function byClientId(
  a: { readonly clientId: string },
  b: { readonly clientId: string },
): number {
  return a.clientId < b.clientId ? -1 : a.clientId > b.clientId ? 1 : 0;
}

/** Draws the cohort; candidates with a required role are always in it. In client-id order. */
export function chooseCohort(
  round: Pick<Round, 'number' | 'attempt'>,
  spec: Pick<RunSpec, 'seed' | 'cohort' | 'quorum' | 'caps'>,
  candidates: readonly Candidate[],
): Candidate[] {
  const size = Math.min(
    spec.cohort.size === 'all' ? candidates.length : spec.cohort.size,
    spec.caps.cohortMax,
  );
  const sorted = [...candidates].sort(byClientId);
  if (sorted.length <= size) return sorted;
  const isRequired = (c: Candidate): boolean => spec.quorum.required.includes(c.role);
  const random = randomStream(spec.seed, 'cohort', round.number, round.attempt);
  const drawn = shuffled(
    sorted.filter((c) => !isRequired(c)),
    random,
  );
  return [...sorted.filter(isRequired), ...drawn].slice(0, size).sort(byClientId);
}
