/**
 * Clients that go away for good. A round never stalls: it goes on at its quorum, or ends with its
 * reason and is tried again, and a run that cannot go on fails and says why.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { eventually } from '../support/database.js';
import { Gate } from '../support/gate.js';
import type { Participant, ParticipantOptions } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import { disconnectAll, rawClient } from '../support/raw-client.js';
import type { CreatedRun, Stage } from '../support/stage.js';
import { createPlainRun, openStage } from '../support/stage.js';
import { VirtualClock } from '../support/virtual-clock.js';

const GRACE_MS = 10_000;
const DEADLINE_MS = 600_000;
/** Before the second attempt. */
const BACK_OFF_MS = 1_000;

/** Time stands still until a test lets it pass: a busy machine decides nothing here. */
const clock = new VirtualClock();
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ clock });
  // The first sweep for orphaned blobs, which would look like an engine that waits.
  clock.advanceTo(clock.now() + 60_000);
});
afterEach(async () => {
  disconnectAll();
  await dismissAll();
});
afterAll(() => stage.close());

const SOURCES = { ada: 'source', bob: 'source', cyd: 'source' } as const;

/**
 * Lets time pass, once the engine sleeps until then: it has seen all that happened before, and what
 * it waits for next comes with the passing of this time.
 *
 * @param only So much of it passes.
 */
async function pass(ms: number, only = ms): Promise<void> {
  await eventually(`the engine waits for ${ms} ms`, () => {
    const now = clock.now();
    if (!clock.isAwaited(now + ms)) return Promise.resolve(null);
    clock.advanceTo(now + only);
    return Promise.resolve(true);
  });
}

function createRun(overrides: Partial<RunSpecInput>): Promise<CreatedRun> {
  const spec = plainRun(3, {
    rounds: 1,
    graceMs: GRACE_MS,
    deadlineMs: DEADLINE_MS,
    // Who is silent here is to be waited for until the deadline.
    leaseMs: 2 * DEADLINE_MS,
    ...overrides,
  });
  return createPlainRun(stage.api, spec, SOURCES);
}

function joinRun(
  run: CreatedRun,
  name: string,
  options: Pick<ParticipantOptions, 'hold' | 'train'> = {},
): Participant {
  const { url } = stage;
  return participate({ url, name, token: run.tokens[name], numExamples: 10, ...options });
}

const never = (): Promise<void> => new Gate().pass();

async function statesOf(run: CreatedRun, round = 1): Promise<Record<string, string>> {
  const { updates } = await stage.api.round(run.id, round);
  return Object.fromEntries(updates.map(({ clientId, state }) => [clientId, state]));
}

describe('a round that clients leave for good', () => {
  it('waits out their grace, drops them, and closes at its quorum', async () => {
    const run = await createRun({ quorum: { min: 2, share: 0.6 } });
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const cyd = joinRun(run, 'cyd', { hold: never });
    await Promise.all([ada.receipt(1), bob.receipt(1), cyd.training(1)]);
    await cyd.leave();
    await pass(GRACE_MS);
    const summaries = await Promise.all([ada.ended, bob.ended]);
    expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
    expect(await statesOf(run)).toEqual({ ada: 'accepted', bob: 'accepted', cyd: 'dropped' });
    const { history } = await stage.api.run(run.id);
    expect(history).toMatchObject([{ phase: 'closed', attempt: 1, accepted: 2, dropped: 1 }]);
  });

  it('goes on waiting for who comes back within the grace', async () => {
    const run = await createRun({});
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const cyd = joinRun(run, 'cyd', { hold: never });
    await Promise.all([ada.receipt(1), bob.receipt(1), cyd.training(1)]);
    await cyd.leave();
    await pass(GRACE_MS, GRACE_MS - 1);
    const again = joinRun(run, 'cyd');
    expect((await again.ended).status).toBe('completed');
    await Promise.all([ada.ended, bob.ended]);
    expect(await statesOf(run)).toEqual({ ada: 'accepted', bob: 'accepted', cyd: 'accepted' });
  });

  it('does not wait for a client that gives its assignment back', async () => {
    const run = await createRun({ quorum: { min: 1, share: 0.3 } });
    const broken = () => Promise.reject(new Error('out of memory'));
    const others = ['ada', 'bob'].map((name) => joinRun(run, name));
    const cyd = joinRun(run, 'cyd', { train: broken });
    const summaries = await Promise.all([...others, cyd].map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(Array(3).fill('completed'));
    expect(cyd.log.of('declined')[0].error.message).toBe('out of memory');
    expect(await statesOf(run)).toEqual({ ada: 'accepted', bob: 'accepted', cyd: 'dropped' });
  });

  it('closes at its deadline, tells who is still at it, and takes nothing from them any more', async () => {
    const run = await createRun({ quorum: { min: 2, share: 0.5 } });
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const cyd = joinRun(run, 'cyd', { hold: never });
    await Promise.all([ada.receipt(1), bob.receipt(1), cyd.training(1)]);
    await pass(DEADLINE_MS);
    const { reason } = await cyd.log.nth('closed');
    expect(reason).toContain('round 1');
    const summaries = await Promise.all([ada.ended, bob.ended, cyd.ended]);
    expect(summaries.map(({ status }) => status)).toEqual(Array(3).fill('completed'));
    expect(summaries[2].receipts).toEqual([]);
    expect(await statesOf(run)).toEqual({ ada: 'accepted', bob: 'accepted', cyd: 'invited' });
  });

  it('is abandoned as soon as its quorum is out of reach, tried again, and completes', async () => {
    const run = await createRun({ quorum: { min: 3, share: 1 }, retries: 2 });
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const cyd = joinRun(run, 'cyd', { hold: never });
    await Promise.all([ada.receipt(1), bob.receipt(1), cyd.training(1)]);
    await cyd.leave();
    await pass(GRACE_MS);
    await pass(BACK_OFF_MS);
    const again = joinRun(run, 'cyd');
    const summaries = await Promise.all([ada, bob, again].map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(Array(3).fill('completed'));
    const { history } = await stage.api.run(run.id);
    const reason = 'quorum missed: 2 updates of 3 invited, 3 needed';
    expect(history).toMatchObject([
      { round: 1, attempt: 1, phase: 'abandoned', accepted: 2, dropped: 1, version: null, reason },
      { round: 1, attempt: 2, phase: 'closed', accepted: 3, version: 1, reason: null },
    ]);
    // What the abandoned attempt had taken was not given a weight; the second was trained anew.
    const { rows } = await weightsByAttempt(run);
    expect(rows).toEqual([
      [1, 2, 0],
      [2, 3, 3],
    ]);
    expect(ada.began).toEqual([1, 1]);
  });

  it('fails the run when its retries are used up, and every client hears why', async () => {
    const run = await createRun({ quorum: { min: 3, share: 1 }, retries: 1 });
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const comeAndGo = async (): Promise<void> => {
      const cyd = joinRun(run, 'cyd', { hold: never });
      await cyd.training(1);
      await cyd.leave();
      await pass(GRACE_MS);
    };
    await comeAndGo();
    await pass(BACK_OFF_MS);
    await comeAndGo();
    const summaries = await Promise.all([ada.ended, bob.ended]);
    const reason = 'round 1: quorum missed: 2 updates of 3 invited, 3 needed';
    for (const summary of summaries) expect(summary).toMatchObject({ status: 'failed', reason });
    const { status, history, ...detail } = await stage.api.run(run.id);
    expect([status, detail.reason]).toEqual(['failed', reason]);
    expect(history.map(({ attempt, phase }) => [attempt, phase])).toEqual([
      [1, 'abandoned'],
      [2, 'abandoned'],
    ]);
  });

  it('is abandoned at its deadline where the quorum is missing', async () => {
    const run = await createRun({ quorum: { min: 3 }, retries: 0 });
    const [ada, bob] = [joinRun(run, 'ada'), joinRun(run, 'bob')];
    const cyd = joinRun(run, 'cyd', { hold: never });
    await Promise.all([ada.receipt(1), bob.receipt(1), cyd.training(1)]);
    await pass(DEADLINE_MS);
    const summaries = await Promise.all([ada, bob, cyd].map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(Array(3).fill('failed'));
    expect((await cyd.ended).reason).toContain('quorum missed');
  });

  it('is abandoned where a required role is lost, whoever else answered', async () => {
    const roles = { ada: 'source', bob: 'source', goal: 'target' } as const;
    const quorum = { min: 1, share: 0, required: ['target' as const] };
    const spec = plainRun(3, { rounds: 1, graceMs: GRACE_MS, retries: 0, quorum });
    const run = await createPlainRun(stage.api, spec, roles);
    const sources = ['ada', 'bob'].map((name) => joinRun(run, name));
    const goal = joinRun(run, 'goal', { hold: never });
    await goal.training(1);
    await goal.leave();
    await pass(GRACE_MS);
    const summaries = await Promise.all(sources.map(({ ended }) => ended));
    const reason = 'round 1: quorum missed: no update from a required target';
    for (const summary of summaries) expect(summary).toMatchObject({ status: 'failed', reason });
  });
});

describe('a round that has not begun', () => {
  it('begins with fewer clients than it wanted when it has waited long enough', async () => {
    const run = await createRun({
      cohort: { size: 3, waitMs: 30_000 },
      quorum: { min: 2, share: 1 },
    });
    const clients = ['ada', 'bob'].map((name) => joinRun(run, name));
    await Promise.all(clients.map(({ log }) => log.nth('connected')));
    await pass(30_000);
    const summaries = await Promise.all(clients.map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
    const { history } = await stage.api.run(run.id);
    expect(history).toMatchObject([{ invited: 2, accepted: 2 }]);
  });
});

describe('a run that its operator stops', () => {
  it('ends at once: clients stop training and hear why; nothing is taken any more', async () => {
    const run = await createRun({ rounds: 5 });
    const ada = joinRun(run, 'ada', { hold: never });
    const bob = joinRun(run, 'bob');
    const cyd = await rawClient(stage.url, 'cyd', run.tokens.cyd);
    await Promise.all([ada.training(1), bob.receipt(1), cyd.assignment()]);
    expect(await stage.api.stop(run.id)).toMatchObject({ status: 'stopped' });
    const summaries = await Promise.all([ada.ended, bob.ended]);
    for (const summary of summaries) {
      expect(summary).toMatchObject({ status: 'stopped', reason: 'stopped by the operator' });
    }
    expect(await cyd.closed((await cyd.assignment()).id)).toContain('stopped');
    await expect(stage.api.stop(run.id)).rejects.toMatchObject({ code: 'run_over' });
    await expect(stage.api.enrol(run.id, 'dot', 'source')).rejects.toMatchObject({
      code: 'run_over',
    });
    const { status, history } = await stage.api.run(run.id);
    expect([status, history.map(({ phase }) => phase)]).toEqual(['stopped', ['abandoned']]);
  });
});

/** By attempt: its number, updates that were accepted, updates that have a weight. */
async function weightsByAttempt(run: CreatedRun): Promise<{ rows: number[][] }> {
  const rows = await stage.database.query<{ attempt: number; taken: number; weighed: number }>(
    `SELECT a.attempt, count(u.*)::int AS taken, count(u.weight)::int AS weighed
     FROM assignments a JOIN updates u ON u.assignment_id = a.id
     WHERE a.run_id = $1 GROUP BY a.attempt ORDER BY a.attempt`,
    run.id,
  );
  return { rows: rows.map(({ attempt, taken, weighed }) => [attempt, taken, weighed]) };
}
