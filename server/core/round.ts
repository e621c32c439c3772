/**
 * A round as data. `step` is the only way from one phase to the next; `duties` (duties.ts) says what
 * must be done now. Both are pure, so that running live and recovering from a crash are the same
 * path.
 *
 *     waiting -> training -> aggregating -> evaluating -> closed
 *        |           |            |      `-----------------^
 *        `-----------+------------+-> abandoned
 */
import { TributaryError } from '../../protocol/errors.js';
import type { AssignmentKind } from '../../protocol/messages.js';
import type { Role, RoundPhase, RunSpec } from '../../protocol/run.js';
import type { AssignmentState } from './records.js';

/** How many assignments of a round have one kind, role and state. */
export interface TallyRow {
  readonly kind: AssignmentKind;
  readonly role: Role;
  readonly state: AssignmentState;
  readonly count: number;
}

export interface Round {
  readonly runId: string;
  /** Counted from 1. */
  readonly number: number;
  /** Counted from 1; a round that missed its quorum is tried again. */
  readonly attempt: number;
  readonly phase: RoundPhase;
  /** Raised by one with every stored change: the compare-and-swap of a commit. */
  readonly revision: number;
  /** Version of the checkpoint that the cohort trains from. */
  readonly baseVersion: number;
  /** Updates that the collection waits for, known once the cohort is; null before. */
  readonly wanted: number | null;
  /** Version that the round committed; null before. */
  readonly version: number | null;
  readonly openedAt: number;
  /** A retried round backs off until then. */
  readonly notBefore: number;
  /** When the present phase must end; null where it waits for nobody. */
  readonly deadline: number | null;
  readonly closedAt: number | null;
  /** Why it was abandoned. */
  readonly reason: string | null;
  /** Counted from the stored assignments; never stored itself. */
  readonly tally: readonly TallyRow[];
}

export type RoundEvent =
  | {
      readonly type: 'begin';
      readonly at: number;
      readonly deadline: number;
      readonly wanted: number;
    }
  /** Others are invited in the place of drop-outs; the round itself stays as it is. */
  | { readonly type: 'extend'; readonly at: number }
  | { readonly type: 'close-collection'; readonly at: number }
  | {
      readonly type: 'commit';
      readonly at: number;
      readonly version: number;
      readonly evaluateUntil: number | null;
    }
  | { readonly type: 'end-evaluation'; readonly at: number }
  | { readonly type: 'abandon'; readonly at: number; readonly reason: string };

/** Allowed transitions as data: the phases in which an event may happen. */
const allowed: Readonly<Record<RoundEvent['type'], readonly RoundPhase[]>> = {
  begin: ['waiting'],
  extend: ['training'],
  'close-collection': ['training'],
  commit: ['aggregating'],
  'end-evaluation': ['evaluating'],
  abandon: ['waiting', 'training', 'aggregating'],
};

/**
 * Whether an assignment may still bring something. One that was never answered stays `invited` when
 * its round moves on: without the phase, the round would wait for it, or drop it again for ever.
 */
export function isOpen(
  { kind, state }: { readonly kind: AssignmentKind; readonly state: AssignmentState },
  { phase }: Pick<Round, 'phase'>,
): boolean {
  return state === 'invited' && phase === (kind === 'train' ? 'training' : 'evaluating');
}

/** Whether the updates of a round may still count; afterwards they were folded, or never will be. */
export function needsUpdates({ phase }: Pick<Round, 'phase'>): boolean {
  return phase === 'waiting' || phase === 'training' || phase === 'aggregating';
}

/** The version of its run's newest model, seen from the newest round: its own, or its base's. */
export function newestVersion({
  version,
  baseVersion,
}: Pick<Round, 'version' | 'baseVersion'>): number {
  return version ?? baseVersion;
}

/** Whether a version is one that the run's clients evaluate. */
export function isEvaluated(
  { evaluateEvery, rounds }: Pick<RunSpec, 'evaluateEvery' | 'rounds'>,
  version: number,
): boolean {
  return evaluateEvery > 0 && (version % evaluateEvery === 0 || version === rounds);
}

export function openRound(
  runId: string,
  number: number,
  attempt: number,
  baseVersion: number,
  at: number,
  notBefore = at,
): Round {
  return {
    runId,
    number,
    attempt,
    phase: 'waiting',
    revision: 1,
    baseVersion,
    wanted: null,
    version: null,
    openedAt: at,
    notBefore,
    deadline: null,
    closedAt: null,
    reason: null,
    tally: [],
  };
}

/**
 * The round after an event.
 * @throws TributaryError `conflict` where the event cannot happen in the round's phase.
 */
export function step(round: Round, event: RoundEvent): Round {
  if (!allowed[event.type].includes(round.phase)) {
    throw new TributaryError('conflict', `a round that is ${round.phase} cannot ${event.type}`);
  }
  const next = { ...round, revision: round.revision + 1 };
  switch (event.type) {
    case 'begin':
      return { ...next, phase: 'training', deadline: event.deadline, wanted: event.wanted };
    case 'extend':
      return next;
    case 'close-collection':
      return { ...next, phase: 'aggregating', deadline: null };
    case 'commit':
      return event.evaluateUntil === null
        ? { ...next, phase: 'closed', version: event.version, closedAt: event.at }
        : { ...next, phase: 'evaluating', version: event.version, deadline: event.evaluateUntil };
    case 'end-evaluation':
      return { ...next, phase: 'closed', deadline: null, closedAt: event.at };
    case 'abandon':
      return {
        ...next,
        phase: 'abandoned',
        deadline: null,
        closedAt: event.at,
        reason: event.reason,
      };
  }
}

/** A client that could be invited now. */
export interface Candidate {
  readonly clientId: string;
  readonly role: Role;
}
