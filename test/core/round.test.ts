import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { Role, RoundPhase, RunSpec } from '../../protocol/run.js';
import { roundPhase, runSpec } from '../../protocol/run.js';
import type { AssignmentState } from '../../server/core/ports.js';
import type {
  Candidate,
  Duty,
  Round,
  RoundEvent,
  TallyRow,
  View,
} from '../../server/core/round.js';
import {
  duties,
  isEvaluated,
  isOpen,
  needsUpdates,
  openRound,
  step,
} from '../../server/core/round.js';
import { plainRun } from '../support/plain-task.js';

const START = 1_000_000;

function specOf(more: Partial<ReturnType<typeof plainRun>> = {}): RunSpec {
  const timing = { deadlineMs: 10_000, graceMs: 2_000, evaluateDeadlineMs: 5_000 };
  return runSpec.parse({ ...plainRun(3), ...timing, ...more, init: { blob: '0'.repeat(64) } });
}

function viewOf(more: Partial<View> = {}): View {
  return {
    now: START,
    spec: specOf(),
    minUpdates: 1,
    enrolled: 0,
    candidates: [],
    absences: [],
    returningUntil: null,
    ...more,
  };
}

function candidates(count: number, role: Role = 'source'): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ clientId: `${role}-${i}`, role }));
}

/** A round in each phase, reached by steps. */
function roundIn(phase: RoundPhase, tally: readonly TallyRow[] = []): Round {
  const waiting = openRound('run', 2, 1, 1, START);
  const training = step(waiting, { type: 'begin', at: START, deadline: START + 10_000 });
  const aggregating = step(training, { type: 'close-collection', at: START });
  const commit = { type: 'commit', at: START, version: 2 } as const;
  const rounds: Record<RoundPhase, Round> = {
    waiting,
    training,
    aggregating,
    evaluating: step(aggregating, { ...commit, evaluateUntil: START + 5_000 }),
    closed: step(aggregating, { ...commit, evaluateUntil: null }),
    abandoned: step(training, { type: 'abandon', at: START, reason: 'why' }),
  };
  return { ...rounds[phase], tally };
}

const trained = (counts: Partial<Record<AssignmentState, number>>): TallyRow[] =>
  Object.entries(counts).map(([state, count]) => {
    return { kind: 'train', role: 'source', state: state as AssignmentState, count };
  });

const events: readonly RoundEvent[] = [
  { type: 'begin', at: START + 1, deadline: START + 9 },
  { type: 'close-collection', at: START + 1 },
  { type: 'commit', at: START + 1, version: 2, evaluateUntil: null },
  { type: 'commit', at: START + 1, version: 2, evaluateUntil: START + 9 },
  { type: 'end-evaluation', at: START + 1 },
  { type: 'abandon', at: START + 1, reason: 'enough' },
];

describe('a step', () => {
  const targets: Record<string, Partial<Record<RoundPhase, RoundPhase>>> = {
    begin: { waiting: 'training' },
    'close-collection': { training: 'aggregating' },
    'commit at once': { aggregating: 'closed' },
    'commit and evaluate': { aggregating: 'evaluating' },
    'end-evaluation': { evaluating: 'closed' },
    abandon: { waiting: 'abandoned', training: 'abandoned', aggregating: 'abandoned' },
  };
  const nameOf = (event: RoundEvent): string => {
    if (event.type !== 'commit') return event.type;
    return event.evaluateUntil === null ? 'commit at once' : 'commit and evaluate';
  };

  for (const phase of roundPhase.options) {
    for (const event of events) {
      const target = targets[nameOf(event)][phase];
      it(`${nameOf(event)} while ${phase}: ${target ?? 'refused'}`, () => {
        const round = roundIn(phase);
        const before = structuredClone(round);
        if (!target) {
          expect(() => step(round, event)).toThrow(TributaryError);
        } else {
          const next = step(round, event);
          expect(next).toMatchObject({ phase: target, revision: round.revision + 1 });
          const { runId, number, attempt, baseVersion, openedAt, notBefore } = next;
          const kept = { runId, number, attempt, baseVersion, openedAt, notBefore };
          expect(round).toMatchObject(kept);
        }
        expect(round).toEqual(before);
      });
    }
  }

  it('sets a deadline while clients are waited for, and the time of the end', () => {
    const shown = roundPhase.options.map((phase) => {
      const { deadline, closedAt } = roundIn(phase);
      return [phase, deadline !== null, closedAt !== null];
    });
    expect(shown).toEqual([
      ['waiting', false, false],
      ['training', true, false],
      ['aggregating', false, false],
      ['evaluating', true, false],
      ['closed', false, true],
      ['abandoned', false, true],
    ]);
  });

  it('keeps the version that was committed and the reason for giving up', () => {
    expect(roundIn('evaluating').version).toBe(2);
    expect(roundIn('closed').version).toBe(2);
    expect(roundIn('abandoned')).toMatchObject({ version: null, reason: 'why' });
  });
});

describe('duties while waiting', () => {
  const doing = (more: Partial<View>, round = roundIn('waiting')): Duty => {
    const [duty, ...others] = duties(round, viewOf(more));
    expect(others).toEqual([]);
    return duty;
  };

  it('wait for the whole cohort, then for fewer, then for as long as it takes', () => {
    const spec = specOf({ cohort: { size: 5, waitMs: 700 }, quorum: { min: 2 } });
    const four = candidates(4);
    expect(doing({ spec, candidates: four })).toMatchObject({ do: 'wait', until: START + 700 });
    const later = { spec, now: START + 700 };
    expect(doing({ ...later, candidates: four })).toEqual({ do: 'begin', cohort: four });
    expect(doing({ ...later, candidates: candidates(1) })).toMatchObject({
      do: 'wait',
      until: null,
    });
  });

  it('begin at once when the cohort is there', () => {
    const spec = specOf({ cohort: { size: 3, waitMs: 700 }, quorum: { min: 1 } });
    expect(doing({ spec, candidates: candidates(3) })).toMatchObject({ do: 'begin' });
  });

  it('with a cohort of all, wait for everybody enrolled, but not for ever', () => {
    const spec = specOf({ cohort: { size: 'all', waitMs: 700 }, quorum: { min: 2 } });
    const three = { spec, enrolled: 4, candidates: candidates(3) };
    expect(doing(three)).toMatchObject({ do: 'wait', until: START + 700 });
    expect(doing({ ...three, candidates: candidates(4) })).toMatchObject({ do: 'begin' });
    expect(doing({ ...three, now: START + 700 })).toMatchObject({ do: 'begin' });
  });

  it('with a cohort of all, begin with as many as the quorum or the rule needs', () => {
    const spec = specOf({ cohort: { size: 'all' }, quorum: { min: 2 } });
    expect(doing({ spec, candidates: candidates(1) }).do).toBe('wait');
    expect(doing({ spec, candidates: candidates(2) }).do).toBe('begin');
    expect(doing({ spec, minUpdates: 3, candidates: candidates(2) }).do).toBe('wait');
    expect(doing({ spec, minUpdates: 3, candidates: candidates(4) })).toEqual({
      do: 'begin',
      cohort: candidates(4),
    });
  });

  it('wait for a required role, however many others there are and however late it is', () => {
    const spec = specOf({ cohort: { size: 3 }, quorum: { min: 1, required: ['target'] } });
    const others = candidates(9);
    const duty = doing({ spec, now: START + 1e9, candidates: others });
    expect(duty).toMatchObject({ do: 'wait', until: null });
    expect(duty).toHaveProperty('why', expect.stringContaining('target'));
    const target = candidates(1, 'target');
    const begun = doing({ spec, candidates: [...others, ...target] });
    expect(begun).toMatchObject({ do: 'begin' });
    expect(begun).toHaveProperty('cohort', expect.arrayContaining(target));
  });

  it('back off before another attempt, whoever is there', () => {
    const again = openRound('run', 1, 2, 0, START, START + 4_000);
    const here = { spec: specOf({ cohort: { size: 2, waitMs: 700 } }), candidates: candidates(3) };
    expect(doing(here, again)).toMatchObject({ do: 'wait', until: START + 4_000 });
    expect(doing({ ...here, now: START + 4_000 }, again).do).toBe('begin');
    const alone = { ...here, candidates: candidates(1), now: START + 4_001 };
    expect(doing(alone, again)).toMatchObject({ until: START + 4_700 });
  });
});

describe('duties while training', () => {
  const spec = specOf({ quorum: { min: 2, share: 0.5 } });
  const doing = (
    counts: Partial<Record<AssignmentState, number>>,
    more: Partial<View> = {},
  ): readonly Duty[] =>
    duties(roundIn('training', trained(counts)), viewOf({ spec, ...more })).map((duty) =>
      duty.do === 'abandon' || duty.do === 'wait' ? { ...duty, reason: '', why: '' } : duty,
    );
  const waiting = (until: number) => [{ do: 'wait', until, reason: '', why: '' }];
  const closing = [{ do: 'close-collection' }];
  const abandoning = [{ do: 'abandon', reason: '', why: '' }];
  const late = { now: START + 10_000 };

  it('wait for stragglers until the deadline, even with a quorum', () => {
    expect(doing({ accepted: 2, invited: 1 })).toEqual(waiting(START + 10_000));
    expect(doing({ accepted: 2, invited: 1 }, { now: START + 9_999 }).at(0)?.do).toBe('wait');
    expect(doing({ accepted: 2, invited: 1 }, late)).toEqual(closing);
  });

  it('close as soon as nobody is waited for', () => {
    expect(doing({ accepted: 3 })).toEqual(closing);
    expect(doing({ accepted: 2, rejected: 1, dropped: 1 })).toEqual(closing);
  });

  it('give up as soon as the quorum is out of reach, and at the deadline without one', () => {
    expect(doing({ accepted: 1, dropped: 2 })).toEqual(abandoning);
    expect(doing({ invited: 1, dropped: 2 })).toEqual(abandoning);
    expect(doing({ accepted: 1, invited: 2 })).toEqual(waiting(START + 10_000));
    expect(doing({ accepted: 1, invited: 2 }, late)).toEqual(abandoning);
  });

  it('drop who used up its grace before anything else, and wake for the next one', () => {
    const absences = [
      { assignmentId: 'a', since: START },
      { assignmentId: 'b', since: START + 500 },
    ];
    const counts = { accepted: 2, invited: 2 };
    expect(doing(counts, { absences, now: START + 1_000 })).toEqual(waiting(START + 2_000));
    expect(doing(counts, { absences, now: START + 2_000 })).toEqual([
      { do: 'drop', assignmentId: 'a' },
    ]);
    expect(doing(counts, { absences, now: START + 10_000 })).toHaveLength(2);
  });
});

describe('duties after training', () => {
  const evaluated = (state: AssignmentState, count: number): TallyRow => {
    return { kind: 'evaluate', role: 'evaluator', state, count };
  };
  /** Who was never heard of in training is still `invited` then. */
  const stragglers = trained({ accepted: 2, invited: 1 });

  it('aggregate, unless clients may still be on their way back after a restart', () => {
    const round = roundIn('aggregating', stragglers);
    expect(duties(round, viewOf())).toEqual([{ do: 'aggregate' }]);
    const returning = viewOf({ returningUntil: START + 30 });
    expect(duties(round, returning)).toMatchObject([{ do: 'wait', until: START + 30 }]);
    expect(duties(round, { ...returning, now: START + 30 })).toEqual([{ do: 'aggregate' }]);
  });

  it('end the evaluation when all evaluators have answered, or its time is up', () => {
    const doing = (rows: TallyRow[], now = START): Duty =>
      duties(roundIn('evaluating', [...stragglers, ...rows]), viewOf({ now }))[0];
    const open = [evaluated('invited', 1), evaluated('accepted', 4)];
    expect(doing(open)).toMatchObject({ do: 'wait', until: START + 5_000 });
    expect(doing(open, START + 5_000)).toEqual({ do: 'end-evaluation' });
    expect(doing([evaluated('accepted', 4), evaluated('dropped', 1)])).toEqual({
      do: 'end-evaluation',
    });
  });

  it('are none when the round is over', () => {
    expect(duties(roundIn('closed'), viewOf({ candidates: candidates(9) }))).toEqual([]);
    expect(duties(roundIn('abandoned'), viewOf({ candidates: candidates(9) }))).toEqual([]);
  });
});

describe('what the phase says of the rest', () => {
  it('keeps an assignment open only while the round waits for its kind', () => {
    const open = (kind: 'train' | 'evaluate', state: AssignmentState): RoundPhase[] =>
      roundPhase.options.filter((phase) => isOpen({ kind, state }, { phase }));
    expect(open('train', 'invited')).toEqual(['training']);
    expect(open('evaluate', 'invited')).toEqual(['evaluating']);
    for (const state of ['accepted', 'rejected', 'late', 'dropped'] as const) {
      expect([...open('train', state), ...open('evaluate', state)]).toEqual([]);
    }
  });

  it('keeps updates until they were folded, or never will be', () => {
    expect(roundPhase.options.filter((phase) => needsUpdates({ phase }))).toEqual([
      'waiting',
      'training',
      'aggregating',
    ]);
  });

  it('evaluates every n-th version and the last', () => {
    const versions = (evaluateEvery: number): number[] =>
      [1, 2, 3, 4, 5].filter((version) => isEvaluated({ evaluateEvery, rounds: 5 }, version));
    expect(versions(0)).toEqual([]);
    expect(versions(1)).toEqual([1, 2, 3, 4, 5]);
    expect(versions(2)).toEqual([2, 4, 5]);
    expect(versions(9)).toEqual([5]);
  });
});
