/** Who is invited to a round: a seeded draw, the same for the same seed, round and candidates. */
import type { RunSpec } from '../../protocol/run.js';
import { derivedId, randomStream, shuffled } from './random.js';
import type { Candidate, Round } from './round.js';

/** Client-id order: UTF-16 code units, the same on every machine and in every locale. */
export function byClientId(
  a: { readonly clientId: string },
  b: { readonly clientId: string },
): number {
  return a.clientId < b.clientId ? -1 : a.clientId > b.clientId ? 1 : 0;
}

/** Whom a round invites, and how many updates of theirs it waits for. */
export interface Invitation {
  /** In client-id order. */
  readonly cohort: readonly Candidate[];
  readonly wanted: number;
}

type CohortSpec = Pick<RunSpec, 'seed' | 'cohort' | 'quorum' | 'caps'>;

/**
 * Draws the cohort. Candidates with a required role are always in it; where there are more of them
 * than places, one of each such role is, and the rest are drawn.
 *
 * What over-selection adds has no required role: each of those that are invited must answer, so one
 * more of them would make the round harder to close, not easier.
 */
export function chooseCohort(
  round: Pick<Round, 'number' | 'attempt'>,
  spec: CohortSpec,
  candidates: readonly Candidate[],
): Invitation {
  const { size, overSelection } = spec.cohort;
  const { cohortMax } = spec.caps;
  const places = Math.min(size === 'all' ? candidates.length : size, cohortMax);
  const sorted = [...candidates].sort(byClientId);
  if (sorted.length <= places) return { cohort: sorted, wanted: sorted.length };
  const inTurn = drawnInTurn(round, spec, sorted);
  const roles = spec.quorum.required;
  const invited =
    size === 'all' ? places : Math.min(overSelected(places, overSelection), cohortMax);
  const others = inTurn.slice(places).filter((c) => !roles.includes(c.role));
  const cohort = [...inTurn.slice(0, places), ...others.slice(0, invited - places)];
  return { cohort: cohort.sort(byClientId), wanted: places };
}

/** How many are invited so that `count` answer; without the noise of binary fractions (10 x 1.1). */
export function overSelected(count: number, overSelection: number): number {
  return Math.ceil(count * overSelection - 1e-9);
}

function drawnInTurn(
  { number, attempt }: Pick<Round, 'number' | 'attempt'>,
  { seed, quorum: { required: roles } }: CohortSpec,
  sorted: readonly Candidate[],
): Candidate[] {
  const drawn = (purpose: string, from: readonly Candidate[]): Candidate[] =>
    shuffled(from, randomStream(seed, purpose, number, attempt));
  const required = drawn(
    'required cohort',
    sorted.filter((c) => roles.includes(c.role)),
  );
  const others = drawn(
    'cohort',
    sorted.filter((c) => !roles.includes(c.role)),
  );
  const oneOfEach = roles.flatMap((role) => required.find((c) => c.role === role) ?? []);
  return [...new Set([...oneOfEach, ...required, ...others])];
}

/**
 * Draws who takes the place of drop-outs, in client-id order. Each candidate has a place in line that
 * depends on nothing else, so that who is drawn does not depend on how many drop out at a time.
 */
export function chooseReplacements(
  { number, attempt }: Pick<Round, 'number' | 'attempt'>,
  { seed }: Pick<RunSpec, 'seed'>,
  candidates: readonly Candidate[],
  count: number,
): Candidate[] {
  const inLine = candidates.map((candidate) => {
    const place = derivedId('replacement', seed, number, attempt, candidate.clientId);
    return { candidate, place };
  });
  inLine.sort((a, b) => (a.place < b.place ? -1 : 1));
  const chosen = inLine.slice(0, count).map(({ candidate }) => candidate);
  return chosen.sort(byClientId);
}
