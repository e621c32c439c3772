/** Rounds under whatever clients may do: there is always a way on, and it ends. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Role, RoundPhase, RunSpec } from '../../protocol/run.js';
import { runSpec } from '../../protocol/run.js';
import type { AssignmentState } from '../../server/core/ports.js';
import type { Duty, Round, RoundEvent, TallyRow, View } from '../../server/core/round.js';
import { duties, isOpen, openRound, step } from '../../server/core/round.js';
import { plainRun } from '../support/plain-task.js';

const START = 1_000_000;

/** More than are usually present: a round that invites all waits for them, but not for ever. */
const ENROLLED = 5;

/** The engine in small: it does what duties say to a round, while clients do what they like. */
class Stage {
  round: Round;
  now = START;
  readonly here = new Map<string, Role>();
  readonly absentSince = new Map<string, number>();
  readonly work: { id: string; kind: TallyRow['kind']; role: Role; state: AssignmentState }[] = [];
  last: Extract<Duty, { do: 'wait' }> | null = null;

  constructor(
    readonly spec: RunSpec,
    readonly minUpdates: number,
    readonly ruleFails: boolean,
  ) {
    this.round = openRound('run', 1, 1, 0, START);
  }

  get isOver(): boolean {
    return this.round.phase === 'closed' || this.round.phase === 'abandoned';
  }

  view(): View {
    const sorted = [...this.here].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      now: this.now,
      spec: this.spec,
      minUpdates: this.minUpdates,
      enrolled: ENROLLED,
      candidates: sorted.map(([clientId, role]) => ({ clientId, role })),
      absences: this.work
        .filter((work) => isOpen(work, this.round) && !this.here.has(work.id))
        .map(({ id }) => ({ assignmentId: id, since: this.absentSince.get(id) ?? START })),
      returningUntil: null,
    };
  }

  tallied(): Round {
    const tally = this.work.map(({ kind, role, state }) => ({ kind, role, state, count: 1 }));
    return { ...this.round, tally };
  }

  /** Looks again and again until there is nothing to do but wait. */
  act(): void {
    for (let looks = 0; ; looks++) {
      expect(looks).toBeLessThan(100);
      const doing = duties(this.tallied(), this.view());
      expect(doing.length === 0).toBe(this.isOver);
      const first = doing.at(0);
      if (!first || first.do === 'wait') {
        this.last = first ?? null;
        if (first && first.until !== null) {
          expect(first.until).toBeGreaterThan(this.now);
          expect(Number.isFinite(first.until)).toBe(true);
        }
        return;
      }
      for (const duty of doing) this.#perform(duty);
    }
  }

  answer(id: string, state: AssignmentState): void {
    const open = this.work.find((work) => work.id === id && isOpen(work, this.round));
    if (open) open.state = state;
  }

  #perform(duty: Duty): void {
    if (duty.do === 'drop') this.answer(duty.assignmentId, 'dropped');
    else this.round = step(this.round, this.#eventOf(duty));
  }

  #eventOf(duty: Duty): RoundEvent {
    const { now: at, spec } = this;
    switch (duty.do) {
      case 'begin':
        expect(duty.cohort.length).toBeGreaterThan(0);
        for (const { clientId: id, role } of duty.cohort) {
          this.work.push({ id, kind: 'train', role, state: 'invited' });
        }
        return { type: 'begin', at, deadline: at + spec.deadlineMs };
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

  #aggregated(): RoundEvent {
    const { now: at, spec } = this;
    if (this.ruleFails) return { type: 'abandon', at, reason: 'the rule failed' };
    for (const [id, role] of this.here) {
      this.work.push({ id, kind: 'evaluate', role, state: 'invited' });
    }
    const evaluateUntil = this.here.size > 0 ? at + spec.evaluateDeadlineMs : null;
    return { type: 'commit', at, version: 1, evaluateUntil };
  }
}

interface Happening {
  readonly what: string;
  readonly who?: string;
  readonly ms?: number;
}

describe('a round, whatever happens', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const roleOf = (name: string): Role => (name === 'c' ? 'target' : 'source');
  const happening = fc.oneof(
    fc.record({ what: fc.constantFrom('join', 'join', 'leave'), who: fc.constantFrom(...names) }),
    fc.record({
      what: fc.constantFrom('accepted', 'accepted', 'rejected', 'dropped'),
      who: fc.constantFrom(...names),
    }),
    fc.record({
      what: fc.constantFrom('accepted', 'accepted', 'rejected', 'dropped'),
      who: fc.constantFrom(...names),
    }),
    fc.record({ what: fc.constant('pass'), ms: fc.constantFrom(1, 300, 2_000, 12_000) }),
  );
  const settings = fc.record({
    size: fc.constantFrom<number | 'all'>(2, 3, 4, 'all'),
    min: fc.integer({ min: 1, max: 2 }),
    share: fc.constantFrom(0, 0.5, 1),
    required: fc.subarray<Role>(['target', 'source']),
    minUpdates: fc.constantFrom(1, 2),
    ruleFails: fc.boolean(),
  });

  function happen(stage: Stage, { what, who = '', ms = 0 }: Happening): void {
    if (what === 'join') {
      stage.here.set(who, roleOf(who));
      stage.absentSince.delete(who);
    } else if (what === 'leave') {
      if (stage.here.delete(who)) stage.absentSince.set(who, stage.now);
    } else if (what === 'pass') {
      stage.now += ms;
    } else {
      stage.answer(who, what as AssignmentState);
    }
  }

  const endings = new Set<RoundPhase>();

  it('always has something to do or to wait for, and ends once it has begun', () => {
    fc.assert(
      fc.property(settings, fc.array(happening, { maxLength: 60 }), (chosen, story) => {
        const { size, min, share, required, minUpdates, ruleFails } = chosen;
        const spec = runSpec.parse({
          ...plainRun(3),
          ...{ cohort: { size, waitMs: 700 }, quorum: { min, share, required } },
          ...{ deadlineMs: 10_000, graceMs: 2_000, evaluateDeadlineMs: 5_000 },
          init: { blob: '0'.repeat(64) },
        });
        const stage = new Stage(spec, minUpdates, ruleFails);
        stage.act();
        for (const event of story) {
          happen(stage, event);
          stage.act();
        }
        // From wherever this led: everybody comes, nobody answers any more, and time passes.
        for (const who of names) happen(stage, { what: 'join', who });
        stage.act();
        for (let wakes = 0; !stage.isOver; wakes++) {
          expect(wakes).toBeLessThan(10);
          expect(stage.last?.until ?? null).not.toBeNull();
          stage.now = stage.last!.until!;
          stage.act();
        }
        expect(stage.round.closedAt).not.toBeNull();
        endings.add(stage.round.phase);
        const accepted = stage.work.filter((w) => w.kind === 'train' && w.state === 'accepted');
        if (stage.round.phase === 'closed') {
          expect(accepted.length).toBeGreaterThanOrEqual(Math.max(min, minUpdates));
          for (const role of required) expect(accepted.some((w) => w.role === role)).toBe(true);
        }
      }),
      { seed: 10, numRuns: 1000 },
    );
    // Else the stories would be too tame to show anything.
    expect([...endings].sort()).toEqual(['abandoned', 'closed']);
  });
});
