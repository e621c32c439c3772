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

/**
 * Draws the cohort, in client-id order. Candidates with a required role are always in it; where there
 * are more of them than places, one of each such role is, and the rest are drawn.
 */
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
  const roles = spec.quorum.required;
  const drawn = (purpose: string, from: readonly Candidate[]): Candidate[] =>
    shuffled(from, randomStream(spec.seed, purpose, round.number, round.attempt));
  const required = drawn(
    'required cohort',
    sorted.filter((c) => roles.includes(c.role)),
  );
  const others = drawn(
    'cohort',
    sorted.filter((c) => !roles.includes(c.role)),
  );
  const oneOfEach = roles.flatMap((role) => required.find((c) => c.role === role) ?? []);
  const inTurn = new Set([...oneOfEach, ...required, ...others]);
  return [...inTurn].slice(0, size).sort(byClientId);
}
