/** What a round asks of the engine, at one moment: pure, and the same after a restart as before. */
import type { RunSpec } from '../../protocol/run.js';
import { chooseCohort, chooseReplacements, overSelected } from './cohort.js';
import type { QuorumStanding } from './quorum.js';
import { quorumOf } from './quorum.js';
import type { Candidate, Round } from './round.js';

/** An open assignment, and the moment from which its client is missed. */
export interface Absence {
  readonly assignmentId: string;
  readonly clientId: string;
  readonly since: number;
}

/** What the engine sees around a round, at one moment. */
export interface View {
  readonly now: number;
  /** Since when this coordinator looks after the run: before, nobody could come. */
  readonly since: number;
  readonly spec: RunSpec;
  /** An operator has paused the run: the round under way ends, and no other begins. */
  readonly paused: boolean;
  /** Fewest updates that the rule can work with. */
  readonly minUpdates: number;
  /** Clients enrolled in the run that train, present or not. */
  readonly enrolled: number;
  /** Present clients that train and that the round has not invited yet, in client-id order. */
  readonly candidates: readonly Candidate[];
  /** Of clients that are not connected, since they left. */
  readonly absences: readonly Absence[];
  /** Of clients that are connected, since they last said that they are at it. */
  readonly silences: readonly Absence[];
  /** After a restart: until when clients may still be on their way back; null where all are here. */
  readonly returningUntil: number | null;
}

export type DropReason = 'gone for longer than graceMs' | 'lease expired';

export type Duty =
  | { readonly do: 'begin'; readonly cohort: readonly Candidate[]; readonly wanted: number }
  | {
      readonly do: 'drop';
      readonly assignmentId: string;
      readonly clientId: string;
      readonly reason: DropReason;
    }
  | { readonly do: 'replace'; readonly cohort: readonly Candidate[] }
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
  if (view.paused) return { do: 'wait', until: null, why: 'paused' };
  if (now < round.notBefore) return { do: 'wait', until: round.notBefore, why: 'backing off' };
  const needed = Math.max(spec.quorum.min, minUpdates);
  const size = Math.min(
    spec.cohort.size === 'all' ? enrolled : spec.cohort.size,
    spec.caps.cohortMax,
  );
  // Whom over-selection adds is invited where present, and never waited for.
  const wanted = Math.max(size, needed);
  // Counted anew after a restart: else whoever is back first would be the whole cohort.
  const patience = Math.max(round.notBefore, view.since) + spec.cohort.waitMs;
  const missing = spec.quorum.required.filter((role) => !candidates.some((c) => c.role === role));
  const enough = candidates.length >= (now >= patience ? needed : wanted);
  if (enough && missing.length === 0) {
    return { do: 'begin', ...chooseCohort(round, spec, candidates) };
  }
  const why =
    missing.length > 0
      ? `waiting for a client with the role ${missing.join(', ')}`
      : `waiting for clients: ${candidates.length} of ${wanted}`;
  return { do: 'wait', until: now >= patience ? null : patience, why };
}

function whileTraining(round: Round, view: View): readonly Duty[] {
  const overdue = overdueWork(view);
  if (overdue.length > 0) return overdue;
  const { spec, minUpdates } = view;
  const replaceable = replaceableBy(round, view);
  const asked = { minUpdates, replacements: replaceable.length };
  const quorum = quorumOf(round, spec.quorum, asked);
  const { accepted, wanted, open } = quorum;
  if (quorum.hopeless !== null) return [{ do: 'abandon', reason: quorum.hopeless }];
  if (quorum.complete) return [{ do: 'close-collection' }];
  const cohort = replacements(round, view, quorum, replaceable);
  if (cohort.length > 0) return [{ do: 'replace', cohort }];
  if (open > 0 && view.now < (round.deadline ?? 0)) {
    return [waitForClients(round, view, `training: ${accepted} of ${wanted} updates`)];
  }
  if (quorum.missing !== null) return [{ do: 'abandon', reason: quorum.missing }];
  return [{ do: 'close-collection' }];
}

/**
 * Who could take the place of drop-outs. Nobody after half of the time: what they begin would hardly
 * be done by the deadline. Nobody with a required role: of these, each that is invited must answer.
 * Nobody in a round of an earlier release, which wants as many as it invited, the next one included.
 */
function replaceableBy(round: Round, { now, spec, candidates }: View): readonly Candidate[] {
  const left = (round.deadline ?? 0) - now;
  if (round.wanted === null || left < spec.deadlineMs / 2) return [];
  return candidates.filter(({ role }) => !spec.quorum.required.includes(role));
}

/** Nobody while enough are at work. Else so many that the rest is over-selected as the cohort was. */
function replacements(
  round: Round,
  { spec }: View,
  { accepted, open, wanted }: QuorumStanding,
  candidates: readonly Candidate[],
): readonly Candidate[] {
  if (accepted + open >= wanted) return [];
  const { size, overSelection } = spec.cohort;
  const working = overSelected(wanted - accepted, size === 'all' ? 1 : overSelection);
  // The exact fold has room for so many updates, and everybody at work may still send one.
  const count = Math.min(working, spec.caps.cohortMax - accepted) - open;
  return chooseReplacements(round, spec, candidates, count);
}

/** Who evaluates is invited with the commit: a coordinator just restarted would find nobody. */
function whileAggregating({ now, returningUntil }: View): Duty {
  if (returningUntil === null || now >= returningUntil) return { do: 'aggregate' };
  return { do: 'wait', until: returningUntil, why: 'waiting for clients to come back' };
}

function whileEvaluating(round: Round, view: View): readonly Duty[] {
  const overdue = overdueWork(view);
  if (overdue.length > 0) return overdue;
  const rows = round.tally.filter((row) => row.kind === 'evaluate');
  const all = rows.reduce((sum, row) => sum + row.count, 0);
  const open = rows.reduce((sum, row) => sum + (row.state === 'invited' ? row.count : 0), 0);
  if (open === 0 || view.now >= (round.deadline ?? 0)) return [{ do: 'end-evaluation' }];
  return [waitForClients(round, view, `evaluating: ${all - open} of ${all} reports`)];
}

function overdueWork({ absences, silences, now, spec }: View): readonly Duty[] {
  const drops = (
    missed: readonly Absence[],
    patienceMs: number,
    reason: DropReason,
  ): readonly Duty[] =>
    missed
      .filter(({ since }) => now >= since + patienceMs)
      .map(({ assignmentId, clientId }) => ({ do: 'drop', assignmentId, clientId, reason }));
  return [
    ...drops(absences, spec.graceMs, 'gone for longer than graceMs'),
    ...drops(silences, spec.leaseMs, 'lease expired'),
  ];
}

/** Until the deadline, or until the next client has used up its grace or its lease. */
function waitForClients(round: Round, { absences, silences, spec }: View, why: string): Duty {
  let until = round.deadline ?? Infinity;
  for (const { since } of absences) until = Math.min(until, since + spec.graceMs);
  for (const { since } of silences) until = Math.min(until, since + spec.leaseMs);
  return { do: 'wait', until, why };
}
