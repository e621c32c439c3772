/** The engine in small: it does what duties say to a round, while clients do what they like. */
import { expect } from 'vitest';
import type { Role, RunSpec } from '../../../protocol/run.js';
import type { Absence, Duty, View } from '../../../server/core/duties.js';
import { duties } from '../../../server/core/duties.js';
import type { AssignmentState } from '../../../server/core/records.js';
import type { Candidate, Round, RoundEvent, TallyRow } from '../../../server/core/round.js';
import { isOpen, openRound, step } from '../../../server/core/round.js';

export const START = 1_000_000;

/** More than are usually present: a round that invites all waits for them, but not for ever. */
const ENROLLED = 9;

interface Work {
  readonly id: string;
  readonly kind: TallyRow['kind'];
  readonly role: Role;
  state: AssignmentState;
}

export interface StageOptions {
  readonly spec: RunSpec;
  readonly minUpdates: number;
  readonly ruleFails: boolean;
  readonly notBefore: number;
}

export class Stage {
  round: Round;
  now = START;
  since = START;
  readonly here = new Map<string, Role>();
  /** When each client came, left, was invited or was heard last. */
  readonly seenAt = new Map<string, number>();
  begunAt: number | null = null;
  paused = false;
  /** How often somebody took the place of drop-outs. */
  replaced = 0;
  readonly work: Work[] = [];
  last: Extract<Duty, { do: 'wait' }> | null = null;

  constructor(readonly options: StageOptions) {
    this.round = openRound('run', 1, 1, 0, START, options.notBefore);
  }

  get spec(): RunSpec {
    return this.options.spec;
  }

  get isOver(): boolean {
    return this.round.phase === 'closed' || this.round.phase === 'abandoned';
  }

  /** Work that is waited for. */
  get open(): readonly Work[] {
    return this.work.filter((work) => isOpen(work, this.round));
  }

  /** How many of those who were invited to train have this state. */
  trained(state: AssignmentState): number {
    return this.work.filter((work) => work.kind === 'train' && work.state === state).length;
  }

  get candidates(): readonly Candidate[] {
    return [...this.here]
      .filter(([id]) => !this.work.some((work) => work.id === id && work.kind === 'train'))
      .map(([clientId, role]) => ({ clientId, role }));
  }

  /** The moment from which a client is missed. */
  missedSince(id: string): number {
    return Math.max(this.since, this.seenAt.get(id) ?? START);
  }

  /** Looks again and again until there is nothing to do but wait. */
  act(): void {
    for (let looks = 0; ; looks++) {
      expect(looks).toBeLessThan(100);
      const doing = duties(this.#tallied(), this.#view());
      expect(doing.length === 0).toBe(this.isOver);
      const first = doing.at(0);
      if (!first || first.do === 'wait') {
        this.last = first ?? null;
        return;
      }
      for (const duty of doing) this.#perform(duty);
    }
  }

  answer(id: string, state: AssignmentState): void {
    const open = this.open.find((work) => work.id === id);
    if (open) open.state = state;
  }

  #view(): View {
    const missed = ({ id }: Work): Absence => ({
      ...{ assignmentId: id, clientId: id, since: this.missedSince(id) },
    });
    return {
      now: this.now,
      since: this.since,
      spec: this.spec,
      minUpdates: this.options.minUpdates,
      enrolled: ENROLLED,
      paused: this.paused,
      candidates: this.candidates,
      absences: this.open.filter(({ id }) => !this.here.has(id)).map(missed),
      silences: this.open.filter(({ id }) => this.here.has(id)).map(missed),
      returningUntil: null,
    };
  }

  #tallied(): Round {
    const tally = this.work.map(({ kind, role, state }) => ({ kind, role, state, count: 1 }));
    return { ...this.round, tally };
  }

  #perform(duty: Duty): void {
    if (duty.do === 'drop') {
      expect(duty.reason).not.toBe('');
      this.answer(duty.assignmentId, 'dropped');
    } else {
      this.round = step(this.round, this.#eventOf(duty));
    }
  }

  #eventOf(duty: Duty): RoundEvent {
    const { now: at, spec } = this;
    switch (duty.do) {
      case 'begin':
        this.#begin(duty.cohort, duty.wanted);
        return { type: 'begin', at, deadline: at + spec.deadlineMs, wanted: duty.wanted };
      case 'replace':
        this.#replace(duty.cohort);
        return { type: 'extend', at };
      case 'close-collection':
      case 'end-evaluation':
        return { type: duty.do, at };
      case 'aggregate':
        return this.#aggregated();
      case 'abandon':
        expect(duty.reason).not.toBe('');
        return { type: 'abandon', at, reason: duty.reason };
      default:
        throw new Error(`${duty.do} is no event`);
    }
  }

  #begin(cohort: readonly Candidate[], wanted: number): void {
    const { size, overSelection, waitMs } = this.spec.cohort;
    expect(this.paused).toBe(false);
    const places = Math.min(size === 'all' ? ENROLLED : size, this.spec.caps.cohortMax);
    if (this.candidates.length < places) {
      const soonest = Math.max(this.round.notBefore, this.since) + waitMs;
      expect(this.now).toBeGreaterThanOrEqual(soonest);
    }
    expect(wanted).toBe(Math.min(places, this.candidates.length));
    expect(cohort.length).toBeLessThanOrEqual(
      size === 'all' ? wanted : Math.ceil(wanted * overSelection),
    );
    // Each that is invited with a required role must answer: nobody of it is invited to spare.
    expect(cohort.filter((one) => this.#isRequired(one)).length).toBeLessThanOrEqual(wanted);
    this.#invite(cohort);
    this.begunAt = this.now;
  }

  #replace(cohort: readonly Candidate[]): void {
    const { deadline, wanted } = this.round;
    const { deadlineMs, cohort: asked } = this.spec;
    expect(deadline! - this.now).toBeGreaterThanOrEqual(deadlineMs / 2);
    expect(cohort.filter((one) => this.#isRequired(one))).toEqual([]);
    expect(this.trained('accepted') + this.open.length).toBeLessThan(wanted!);
    this.#invite(cohort);
    const lacking = wanted! - this.trained('accepted');
    const atWork = Math.ceil(lacking * (asked.size === 'all' ? 1 : asked.overSelection));
    expect(this.open.length).toBeLessThanOrEqual(atWork);
    this.replaced++;
  }

  #invite(cohort: readonly Candidate[]): void {
    expect(cohort.length).toBeGreaterThan(0);
    for (const { clientId: id, role } of cohort) {
      expect(this.here.has(id)).toBe(true);
      // Nobody twice: a client that dropped out and came back would be counted twice.
      expect(this.work.some((work) => work.id === id)).toBe(false);
      this.work.push({ id, kind: 'train', role, state: 'invited' });
      this.seenAt.set(id, this.now);
    }
    const busy = this.trained('invited') + this.trained('accepted');
    expect(busy).toBeLessThanOrEqual(this.spec.caps.cohortMax);
  }

  #isRequired({ role }: Pick<Candidate, 'role'>): boolean {
    return this.spec.quorum.required.includes(role);
  }

  #aggregated(): RoundEvent {
    const { now: at, spec } = this;
    if (this.options.ruleFails) return { type: 'abandon', at, reason: 'the rule failed' };
    for (const [id, role] of this.here) {
      this.work.push({ id, kind: 'evaluate', role, state: 'invited' });
      this.seenAt.set(id, at);
    }
    const evaluateUntil = this.here.size > 0 ? at + spec.evaluateDeadlineMs : null;
    return { type: 'commit', at, version: 1, evaluateUntil };
  }
}
