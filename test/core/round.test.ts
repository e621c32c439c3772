import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { RoundPhase } from '../../protocol/run.js';
import { roundPhase } from '../../protocol/run.js';
import type { AssignmentState } from '../../server/core/records.js';
import type { RoundEvent } from '../../server/core/round.js';
import { isEvaluated, isOpen, needsUpdates, step } from '../../server/core/round.js';
import { START, roundIn } from './support/rounds.js';

const events: readonly RoundEvent[] = [
  { type: 'begin', at: START + 1, deadline: START + 9, wanted: 3 },
  { type: 'extend', at: START + 1 },
  { type: 'close-collection', at: START + 1 },
  { type: 'commit', at: START + 1, version: 2, evaluateUntil: null },
  { type: 'commit', at: START + 1, version: 2, evaluateUntil: START + 9 },
  { type: 'end-evaluation', at: START + 1 },
  { type: 'abandon', at: START + 1, reason: 'enough' },
];

describe('a step', () => {
  const targets: Record<string, Partial<Record<RoundPhase, RoundPhase>>> = {
    begin: { waiting: 'training' },
    extend: { training: 'training' },
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
