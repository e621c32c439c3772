/** Rounds under whatever clients may do: there is always a way on, and it ends as it should. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Role, RoundPhase, RunSpec } from '../../protocol/run.js';
import { runSpec } from '../../protocol/run.js';
import type { AssignmentState } from '../../server/core/records.js';
import { plainRun } from '../support/plain-task.js';
import { START, Stage } from './support/stage.js';

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
const roleOf = (name: string): Role => (name === 'c' ? 'target' : 'source');

interface Happening {
  readonly what: string;
  readonly who?: string;
  readonly ms?: number;
}

const happening = fc.oneof(
  fc.record({
    what: fc.constantFrom('join', 'join', 'join', 'leave'),
    who: fc.constantFrom(...names),
  }),
  ...[1, 2].map(() =>
    fc.record({
      what: fc.constantFrom(...Array<string>(6).fill('accepted'), 'rejected', 'dropped'),
      who: fc.constantFrom(...names),
    }),
  ),
  fc.record({ what: fc.constant('heard'), who: fc.constantFrom(...names) }),
  fc.record({ what: fc.constantFrom('pause', 'resume', 'everybody comes', 'restart') }),
  fc.record({ what: fc.constant('pass'), ms: fc.constantFrom(1, 300, 300, 700, 2_000, 12_000) }),
);

const settings = fc.record({
  size: fc.constantFrom<number | 'all'>(2, 3, 4, 'all'),
  overSelection: fc.constantFrom(1, 1.3, 2),
  cohortMax: fc.constantFrom(4, 4096),
  min: fc.integer({ min: 1, max: 2 }),
  share: fc.constantFrom(0, 0.5, 1),
  required: fc.constantFrom<Role[]>([], [], [], ['target'], ['source'], ['source', 'target']),
  minUpdates: fc.constantFrom(1, 2),
  ruleFails: fc.boolean(),
  notBefore: fc.constantFrom(START, START + 500),
  /** What clients do in the end: nothing, or they say that they are at it and never send anything. */
  ending: fc.constantFrom('silent', 'busy'),
});

type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;

function specOf({ size, overSelection, cohortMax, min, share, required }: Settings): RunSpec {
  return runSpec.parse({
    ...plainRun(3),
    ...{ cohort: { size, overSelection, waitMs: 700 } },
    ...{ quorum: { min, share, required }, caps: { cohortMax } },
    ...{ deadlineMs: 10_000, graceMs: 2_000, leaseMs: 3_000, evaluateDeadlineMs: 5_000 },
    init: { blob: '0'.repeat(64) },
  });
}

function happen(stage: Stage, { what, who = '', ms = 0 }: Happening): void {
  if (what === 'join') {
    stage.here.set(who, roleOf(who));
    stage.seenAt.set(who, stage.now);
  } else if (what === 'everybody comes') {
    for (const name of names) happen(stage, { what: 'join', who: name });
  } else if (what === 'leave') {
    if (stage.here.delete(who)) stage.seenAt.set(who, stage.now);
  } else if (what === 'heard') {
    if (stage.here.has(who)) stage.seenAt.set(who, stage.now);
  } else if (what === 'pause' || what === 'resume') {
    stage.paused = what === 'pause';
  } else if (what === 'restart') {
    stage.here.clear();
    stage.since = stage.now;
  } else if (what === 'pass') {
    stage.now += ms;
  } else {
    stage.answer(who, what as AssignmentState);
  }
}

/** Updates without which the round may not commit. */
function neededBy({ spec, options, round }: Stage): number {
  const { min, share } = spec.quorum;
  return Math.max(min, options.minUpdates, Math.ceil(share * (round.wanted ?? 0)));
}

/** Invited with a role of which each must be accepted, and not accepted (yet). */
function lacking({ work, spec }: Stage): readonly AssignmentState[] {
  const { required } = spec.quorum;
  return work
    .filter(
      ({ kind, role, state }) =>
        kind === 'train' && required.includes(role) && state !== 'accepted',
    )
    .map(({ state }) => state);
}

/** What must hold whenever a round does nothing but wait. */
function checkRest(stage: Stage): void {
  const { round, spec, now, last, open } = stage;
  if (stage.isOver) return;
  expect(['waiting', 'training', 'evaluating']).toContain(round.phase);
  const until = last?.until ?? Infinity;
  expect(until).toBeGreaterThan(now);
  if (round.phase === 'waiting') {
    checkWaiting(stage);
    return;
  }
  expect(open.length).toBeGreaterThan(0);
  expect(until).toBeLessThanOrEqual(round.deadline!);
  for (const { id } of open) {
    const patience = stage.here.has(id) ? spec.leaseMs : spec.graceMs;
    expect(until).toBeLessThanOrEqual(stage.missedSince(id) + patience);
  }
  if (round.phase === 'training') checkTraining(stage);
}

function checkWaiting({ round, spec, options, now, since, paused, candidates }: Stage): void {
  const isPatient = now < Math.max(round.notBefore, since) + spec.cohort.waitMs;
  const isFew = candidates.length < Math.max(spec.quorum.min, options.minUpdates);
  const { required } = spec.quorum;
  const isMissing = required.some((role) => !candidates.some((one) => one.role === role));
  expect(isPatient || isFew || isMissing || paused).toBe(true);
}

function checkTraining(stage: Stage): void {
  const { round, spec, now, open } = stage;
  const [accepted, wanted] = [stage.trained('accepted'), round.wanted!];
  expect(accepted < wanted || lacking(stage).length > 0).toBe(true);
  // It can still have what it needs, of those who are at work.
  expect(accepted + open.length).toBeGreaterThanOrEqual(neededBy(stage));
  expect(lacking(stage).filter((state) => state !== 'invited')).toEqual([]);
  const spare = stage.candidates.filter(({ role }) => !spec.quorum.required.includes(role));
  if (accepted + open.length < wanted && round.deadline! - now >= spec.deadlineMs / 2) {
    expect(spare).toEqual([]);
  }
}

/** A round ends by its deadlines: nobody looks at it while time passes in one leap. */
function checkTimes({ spec, begunAt, round }: Stage, story: readonly Happening[]): void {
  expect(round.closedAt).not.toBeNull();
  if (begunAt === null || round.closedAt === null) return;
  const leap = Math.max(0, ...story.map(({ ms = 0 }) => ms));
  const most = spec.deadlineMs + spec.evaluateDeadlineMs + 2 * leap;
  expect(round.closedAt - begunAt).toBeLessThanOrEqual(most);
}

/** It commits what it may commit, and nothing else. */
function checkEnding(stage: Stage): void {
  const hasQuorum =
    stage.begunAt !== null &&
    stage.trained('accepted') >= neededBy(stage) &&
    lacking(stage).length === 0;
  expect(stage.round.phase === 'closed').toBe(hasQuorum && !stage.options.ruleFails);
}

describe('a round, whatever happens', () => {
  const endings: RoundPhase[] = [];
  /** Over all stories. */
  let replaced = 0;

  it('always has something to do or to wait for, and ends once it has begun', () => {
    fc.assert(
      fc.property(
        settings,
        fc.array(happening, { maxLength: 60, size: 'max' }),
        (chosen, story) => {
          const stage = new Stage({ ...chosen, spec: specOf(chosen) });
          stage.act();
          checkRest(stage);
          for (const event of story) {
            happen(stage, event);
            stage.act();
            checkRest(stage);
          }
          // From wherever this led: everybody comes, nobody answers any more, and time passes.
          happen(stage, { what: 'resume' });
          happen(stage, { what: 'everybody comes' });
          stage.act();
          for (let wakes = 0; !stage.isOver; wakes++) {
            expect(wakes).toBeLessThan(20);
            expect(stage.last?.until ?? null).not.toBeNull();
            stage.now = stage.last!.until!;
            if (chosen.ending === 'busy')
              for (const who of names) happen(stage, { what: 'heard', who });
            stage.act();
            checkRest(stage);
          }
          checkTimes(stage, story);
          checkEnding(stage);
          endings.push(stage.round.phase);
          replaced += stage.replaced;
        },
      ),
      { seed: 10, numRuns: 1000 },
    );
    // Else the stories would be too tame to show anything.
    for (const phase of ['abandoned', 'closed'] as const) {
      expect(endings.filter((ending) => ending === phase).length).toBeGreaterThan(30);
    }
    expect(replaced).toBeGreaterThan(30);
  });
});
