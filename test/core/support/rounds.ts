/** Rounds, and what an engine sees around them. */
import type { Role, RoundPhase, RunSpec } from '../../../protocol/run.js';
import { runSpec } from '../../../protocol/run.js';
import type { View } from '../../../server/core/duties.js';
import type { AssignmentState } from '../../../server/core/records.js';
import type { Candidate, Round, TallyRow } from '../../../server/core/round.js';
import { openRound, step } from '../../../server/core/round.js';
import { plainRun } from '../../support/plain-task.js';

export const START = 1_000_000;

export function specOf(more: Partial<ReturnType<typeof plainRun>> = {}): RunSpec {
  const timing = { deadlineMs: 10_000, graceMs: 2_000, evaluateDeadlineMs: 5_000 };
  return runSpec.parse({ ...plainRun(3), ...timing, ...more, init: { blob: '0'.repeat(64) } });
}

export function viewOf(more: Partial<View> = {}): View {
  return {
    now: START,
    since: 0,
    spec: specOf(),
    paused: false,
    minUpdates: 1,
    enrolled: 0,
    candidates: [],
    absences: [],
    silences: [],
    returningUntil: null,
    ...more,
  };
}

export function candidates(count: number, role: Role = 'source'): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ clientId: `${role}-${i}`, role }));
}

/** A round in each phase, reached by steps. */
export function roundIn(phase: RoundPhase, tally: readonly TallyRow[] = []): Round {
  const waiting = openRound('run', 2, 1, 1, START);
  const training = step(waiting, {
    type: 'begin',
    at: START,
    deadline: START + 10_000,
    wanted: 3,
  });
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

export const trained = (counts: Partial<Record<AssignmentState, number>>): TallyRow[] =>
  Object.entries(counts).map(([state, count]) => {
    return { kind: 'train', role: 'source', state: state as AssignmentState, count };
  });
