/**
 * A round as data. `step` is the only way from one phase to the next; `duties` says what must be
 * done now. Both are pure, so that running live and recovering from a crash are the same path.
 *
 *     waiting -> training -> aggregating -> evaluating -> closed
 *        |           |            |      `-----------------^
 *        `-----------+------------+-> abandoned
 */
import { TributaryError } from '../../protocol/errors.js';
import type { AssignmentKind } from '../../protocol/messages.js';
import type { Role, RoundPhase, RunSpec } from '../../protocol/run.js';
import { chooseCohort } from './cohort.js';
import type { AssignmentState } from './ports.js';
import { quorumOf } from './quorum.js';

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
  | { readonly type: 'begin'; readonly at: number; readonly deadline: number }
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
      return { ...next, phase: 'training', deadline: event.deadline };
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

/** An assignment without a receipt whose client is not connected. */
export interface Absence {
  readonly assignmentId: string;
  readonly since: number;
}

/** What the engine sees around a round, at one moment. */
export interface View {
  readonly now: number;
  readonly spec: RunSpec;
  /** Fewest updates that the rule can work with. */
  readonly minUpdates: number;
  /** Clients enrolled in the run that train, present or not. */
  readonly enrolled: number;
  /** Present clients that train, in client-id order. */
  readonly candidates: readonly Candidate[];
  readonly absences: readonly Absence[];
  /** After a restart: until when clients may still be on their way back; null where all are here. */
  readonly returningUntil: number | null;
}

export type Duty =
  | { readonly do: 'begin'; readonly cohort: readonly Candidate[] }
  | { readonly do: 'drop'; readonly assignmentId: string }
  | { readonly do: 'close-collection' }
  | { readonly do: 'aggregate' }
  | { readonly do: 'end-evaluation' }
  | { readonly do: 'abandon'; readonly reason: string }
  /** Nothing now; look again at `until`, or when something happens. */
  | { readonly do: 'wait'; readonly until: number | null; readonly why: string };

/** What must now be done for a round. Asked again after each duty and each event. */
export function duties(round: Round, view: View): readonly Duty[] {
  switch (round.phase) {
    case 'waiting':
      return [whileWaiting(round, view)];
    case 'training':
      return whileTraining(round, view);
    case 'aggregating':
      return [whileAggregating(view)];
    case 'evaluating':
      return whileEvaluating(round, view);
    case 'closed':
    case 'abandoned':
      return [];
  }
}

function whileWaiting(round: Round, view: View): Duty {
  const { now, spec, minUpdates, candidates, enrolled } = view;
  if (now < round.notBefore) return { do: 'wait', until: round.notBefore, why: 'backing off' };
  const needed = Math.max(spec.quorum.min, minUpdates);
  const size = spec.cohort.size === 'all' ? enrolled : spec.cohort.size;
  const wanted = Math.max(size, needed);
  const patience = round.notBefore + spec.cohort.waitMs;
  const missing = spec.quorum.required.filter((role) => !candidates.some((c) => c.role === role));
  const enough = candidates.length >= (now >= patience ? needed : wanted);
  if (enough && missing.length === 0) {
    return { do: 'begin', cohort: chooseCohort(round, spec, candidates) };
  }
  const why =
    missing.length > 0
      ? `waiting for a client with the role ${missing.join(', ')}`
      : `waiting for clients: ${candidates.length} of ${wanted}`;
  return { do: 'wait', until: now >= patience ? null : patience, why };
}

function whileTraining(round: Round, view: View): readonly Duty[] {
  const overdue = overdueAbsences(view);
  if (overdue.length > 0) return overdue;
  const quorum = quorumOf(round.tally, view.spec.quorum, view.minUpdates);
  const ended = quorum.open === 0 || view.now >= (round.deadline ?? 0);
  if (quorum.hopeless !== null) return [{ do: 'abandon', reason: quorum.hopeless }];
  if (!ended)
    return [
      waitForClients(round, view, `training: ${quorum.accepted} of ${quorum.invited} updates`),
    ];
  if (quorum.missing !== null) return [{ do: 'abandon', reason: quorum.missing }];
  return [{ do: 'close-collection' }];
}

/** Who evaluates is invited with the commit: a coordinator just restarted would find nobody. */
function whileAggregating({ now, returningUntil }: View): Duty {
  if (returningUntil === null || now >= returningUntil) return { do: 'aggregate' };
  return { do: 'wait', until: returningUntil, why: 'waiting for clients to come back' };
}

function whileEvaluating(round: Round, view: View): readonly Duty[] {
  const overdue = overdueAbsences(view);
  if (overdue.length > 0) return overdue;
  const rows = round.tally.filter((row) => row.kind === 'evaluate');
  const all = rows.reduce((sum, row) => sum + row.count, 0);
  const open = rows.reduce((sum, row) => sum + (row.state === 'invited' ? row.count : 0), 0);
  if (open === 0 || view.now >= (round.deadline ?? 0)) return [{ do: 'end-evaluation' }];
  return [waitForClients(round, view, `evaluating: ${all - open} of ${all} reports`)];
}

function overdueAbsences({ absences, now, spec }: View): readonly Duty[] {
  return absences
    .filter(({ since }) => now >= since + spec.graceMs)
    .map(({ assignmentId }) => ({ do: 'drop', assignmentId }));
}

/** Until the deadline, or until the next absent client has used up its grace. */
function waitForClients(round: Round, { absences, spec }: View, why: string): Duty {
  const ends = absences.map(({ since }) => since + spec.graceMs);
  return { do: 'wait', until: Math.min(round.deadline ?? Infinity, ...ends), why };
}
