/** What a round asks of the engine, phase by phase. */
import { describe, expect, it } from 'vitest';
import type { AssignmentState } from '../../server/core/records.js';
import type { Duty, View } from '../../server/core/duties.js';
import { duties } from '../../server/core/duties.js';
import type { TallyRow } from '../../server/core/round.js';
import { openRound } from '../../server/core/round.js';
import { START, candidates, roundIn, specOf, trained, viewOf } from './support/rounds.js';

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
    expect(doing({ ...later, candidates: four })).toEqual({
      ...{ do: 'begin', cohort: four, wanted: 4 },
    });
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

  it('with a cohort of all, wait for no more than the exact fold has room for', () => {
    const spec = specOf({ cohort: { size: 'all' }, caps: { cohortMax: 3 } });
    const five = { spec, enrolled: 5, candidates: candidates(3) };
    expect(doing(five)).toMatchObject({ do: 'begin', wanted: 3 });
  });

  it('wait anew where the coordinator has only just begun to look after the run', () => {
    const spec = specOf({ cohort: { size: 3, waitMs: 700 }, quorum: { min: 1 } });
    const late = { spec, since: START + 9_000, candidates: candidates(1) };
    expect(doing({ ...late, now: START + 9_699 })).toMatchObject({ until: START + 9_700 });
    expect(doing({ ...late, now: START + 9_700 }).do).toBe('begin');
  });

  it('with a cohort of all, begin with as many as the quorum or the rule needs', () => {
    const spec = specOf({ cohort: { size: 'all' }, quorum: { min: 2 } });
    expect(doing({ spec, candidates: candidates(1) }).do).toBe('wait');
    expect(doing({ spec, candidates: candidates(2) }).do).toBe('begin');
    expect(doing({ spec, minUpdates: 3, candidates: candidates(2) }).do).toBe('wait');
    expect(doing({ spec, minUpdates: 3, candidates: candidates(4) })).toEqual({
      do: 'begin',
      cohort: candidates(4),
      wanted: 4,
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

  it('begin when the size is there, and invite of the rest as many as over-selection asks for', () => {
    const spec = specOf({
      cohort: { size: 10, overSelection: 1.5, waitMs: 700 },
      quorum: { min: 2, share: 0.5 },
    });
    const begun = (count: number, now = START): unknown => {
      const duty = doing({ spec, now, candidates: candidates(count) });
      return duty.do === 'begin' ? [duty.cohort.length, duty.wanted] : duty.do;
    };
    expect(begun(9)).toBe('wait');
    expect([begun(10), begun(12), begun(40)]).toEqual([
      [10, 10],
      [12, 10],
      [15, 10],
    ]);
    expect(begun(9, START + 700)).toEqual([9, 9]);
    const capped = { ...spec, caps: { ...spec.caps, cohortMax: 12 } };
    const duty = doing({ spec: capped, candidates: candidates(40) });
    expect(duty).toMatchObject({ do: 'begin', wanted: 10 });
    expect(duty).toHaveProperty('cohort.length', 12);
  });

  it('begin nothing while the run is paused, whoever is there', () => {
    const here = { spec: specOf(), candidates: candidates(9), now: START + 1e9 };
    expect(doing({ ...here, paused: true })).toEqual({ do: 'wait', until: null, why: 'paused' });
    expect(doing(here).do).toBe('begin');
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
      { assignmentId: 'a', clientId: 'ada', since: START },
      { assignmentId: 'b', clientId: 'Bo', since: START + 500 },
    ];
    const gone = 'gone for longer than graceMs';
    const counts = { accepted: 2, invited: 2 };
    expect(doing(counts, { absences, now: START + 1_000 })).toEqual(waiting(START + 2_000));
    expect(doing(counts, { absences, now: START + 2_000 })).toEqual([
      { do: 'drop', assignmentId: 'a', clientId: 'ada', reason: gone },
    ]);
    expect(doing(counts, { absences, now: START + 10_000 })).toHaveLength(2);
  });
});

describe('duties while training with over-selection', () => {
  const spec = specOf({
    cohort: { size: 10, overSelection: 1.3 },
    quorum: { min: 2, share: 0.5 },
    leaseMs: 3_000,
  });
  const doing = (
    counts: Partial<Record<AssignmentState, number>>,
    more: Partial<View> = {},
  ): readonly Duty[] => {
    const round = { ...roundIn('training', trained(counts)), wanted: 10 };
    return duties(round, viewOf({ spec, ...more }));
  };
  const replaced = (duty: Duty): number | string =>
    duty.do === 'replace' ? duty.cohort.length : duty.do;
  const spare = { candidates: candidates(50) };

  it('close with the updates wanted, though others are at work', () => {
    expect(doing({ accepted: 9, invited: 4 })[0].do).toBe('wait');
    expect(doing({ accepted: 10, invited: 3 })).toEqual([{ do: 'close-collection' }]);
    expect(doing({ accepted: 10, invited: 3 }, { paused: true })[0].do).toBe('close-collection');
  });

  it('wait for a required role beyond the updates wanted', () => {
    const target = (state: AssignmentState): TallyRow[] => [
      ...trained({ accepted: 11, invited: 1 }),
      { kind: 'train', role: 'target', state, count: 1 },
    ];
    const asked = specOf({ ...spec, quorum: { min: 2, share: 0.5, required: ['target'] } });
    const during = (state: AssignmentState): string => {
      const round = { ...roundIn('training', target(state)), wanted: 10 };
      return duties(round, viewOf({ spec: asked, ...spare }))[0].do;
    };
    expect(during('invited')).toBe('wait');
    expect(during('accepted')).toBe('close-collection');
    expect(during('dropped')).toBe('abandon');
  });

  it('replace drop-outs as soon as too few are left, as over-selected as the cohort was', () => {
    expect(replaced(doing({ accepted: 2, invited: 8, dropped: 3 }, spare)[0])).toBe('wait');
    // Seven are lacking: ten at work make it likely, and six are.
    expect(replaced(doing({ accepted: 3, invited: 6, dropped: 4 }, spare)[0])).toBe(4);
    const few = { candidates: candidates(2) };
    expect(replaced(doing({ accepted: 3, invited: 6, dropped: 4 }, few)[0])).toBe(2);
    expect(replaced(doing({ accepted: 3, invited: 6, rejected: 4 }, spare)[0])).toBe(4);
  });

  it('replace nobody after half of the time', () => {
    const lost = { accepted: 3, invited: 6, dropped: 4 };
    expect(doing(lost, { ...spare, now: START + 5_000 })[0].do).toBe('replace');
    expect(doing(lost, { ...spare, now: START + 5_001 })[0].do).toBe('wait');
    const late = { ...spare, now: START + 5_001 };
    expect(doing({ accepted: 5, dropped: 8 }, late)).toEqual([{ do: 'close-collection' }]);
    expect(doing({ accepted: 4, dropped: 9 }, late)[0].do).toBe('abandon');
  });

  it('give up only where replacements would not help either', () => {
    const lost = { accepted: 1, dropped: 12 };
    expect(doing(lost)[0].do).toBe('abandon');
    expect(doing(lost, { candidates: candidates(3) })[0].do).toBe('abandon');
    expect(replaced(doing(lost, { candidates: candidates(4) })[0])).toBe(4);
  });

  it('replace nobody by a client of a required role, which would have to answer', () => {
    const asked = specOf({ ...spec, quorum: { min: 2, share: 0, required: ['target'] } });
    const rows: TallyRow[] = [
      ...trained({ accepted: 3, dropped: 9 }),
      { kind: 'train', role: 'target', state: 'accepted', count: 1 },
    ];
    const round = { ...roundIn('training', rows), wanted: 10 };
    const present = [...candidates(2), ...candidates(5, 'target')];
    expect(duties(round, viewOf({ spec: asked, candidates: present }))).toEqual([
      { do: 'replace', cohort: candidates(2) },
    ]);
  });

  it('never have more at work than the exact fold has room for', () => {
    const tight = { ...spec, caps: { ...spec.caps, cohortMax: 11 } };
    const duty = doing({ accepted: 3, invited: 6, dropped: 4 }, { spec: tight, ...spare })[0];
    expect(replaced(duty)).toBe(2);
  });

  it('replace nobody in a round that began before rounds said how many they want', () => {
    // Such a round wants all that it invited: each one more would be wanted too, without an end.
    const round = { ...roundIn('training', trained({ invited: 8, dropped: 2 })), wanted: null };
    expect(duties(round, viewOf({ spec, ...spare }))[0].do).toBe('wait');
    const asked = specOf({ ...spec, quorum: { min: 2, share: 1 } });
    expect(duties(round, viewOf({ spec: asked, ...spare }))[0].do).toBe('abandon');
  });

  it('with a cohort of all, replace one by one', () => {
    const all = specOf({ ...spec, cohort: { size: 'all', overSelection: 3 } });
    const duty = doing({ accepted: 3, invited: 6, dropped: 1 }, { spec: all, ...spare })[0];
    expect(replaced(duty)).toBe(1);
  });

  it('drop who is silent for longer than its lease, and wake for the next one', () => {
    const silences = [
      { assignmentId: 'a', clientId: 'ada', since: START },
      { assignmentId: 'b', clientId: 'Bo', since: START + 700 },
    ];
    const counts = { accepted: 5, invited: 8 };
    const waits = doing(counts, { silences, now: START + 2_999 });
    expect(waits).toMatchObject([{ do: 'wait', until: START + 3_000 }]);
    expect(doing(counts, { silences, now: START + 3_000 })).toEqual([
      { do: 'drop', assignmentId: 'a', clientId: 'ada', reason: 'lease expired' },
    ]);
    expect(doing(counts, { silences, now: START + 9_999 })).toHaveLength(2);
    const evaluating = { ...roundIn('evaluating'), wanted: 10 };
    const late = viewOf({ spec, silences, now: START + 3_100 });
    expect(duties(evaluating, late)).toMatchObject([{ do: 'drop', assignmentId: 'a' }]);
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
