import { expect, it } from 'vitest';
import { openRound, step } from '../../server/core/round.js';
import {
  assignmentFor,
  beginRound,
  checkpointOf,
  closeCollection,
  createRun,
  eventOf,
  startedAt,
  startTraining,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

export function roundContract(theStore: TheStore): void {
  it('stores a transition and invites its cohort, in client-id order', async () => {
    const { round } = await startTraining(theStore(), ['cleo', 'anna', 'bert'], { bert: 'target' });
    const tally = [
      { kind: 'train', role: 'source', state: 'invited', count: 2 },
      { kind: 'train', role: 'target', state: 'invited', count: 1 },
    ];
    expect(await theStore().currentRound('r1')).toEqual({ ...round, tally });
    const stored = await theStore().assignments('r1', 1, 1);
    expect(stored.map((a) => a.clientId)).toEqual(['anna', 'bert', 'cleo']);
    expect(stored[1]).toEqual({
      ...assignmentFor(round, { runId: 'r1', id: 'bert', role: 'target' }),
      state: 'invited',
      update: null,
      report: null,
    });
    expect(await theStore().assignment(stored[1].id)).toEqual(stored[1]);
  });

  it('stores a checkpoint, weights, results and the next round in one commit', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert']);
    for (const [i, { id }] of assignments.entries()) {
      await theStore().record(id, updateOf(id, { bytes: 1000 + i }));
    }
    const aggregating = closeCollection(round);
    expect(await theStore().commit(aggregating, { coefficients: { anna: [0.25, 1 / 3] } })).toBe(
      true,
    );
    const at = startedAt + 70_000;
    const closed = step(aggregating, { type: 'commit', at, version: 1, evaluateUntil: null });
    const next = openRound('r1', 2, 1, 1, at);
    const matrices = { gram: [[1, -0.5], [-0.5, 1e-300]] }; // prettier-ignore
    const done = await theStore().commit(closed, {
      checkpoint: checkpointOf('r1', 1),
      weights: { [assignments[0].id]: 0.1, [assignments[1].id]: -0.30000000000000004 },
      diagnostics: { gamma: 0.98, 'steps.mean': 1e21 },
      matrices,
      next,
      events: [eventOf('committed', at)],
    });
    expect(done).toBe(true);

    expect(await theStore().currentRound('r1')).toEqual(next);
    expect(await theStore().checkpoint('r1', 1)).toEqual(checkpointOf('r1', 1));
    const stored = await theStore().assignments('r1', 1, 1);
    expect(stored.map((a) => a.update?.weight)).toEqual([0.1, -0.30000000000000004]);
    const [first, second] = await theStore().rounds('r1');
    expect(first).toEqual({
      round: {
        ...closed,
        tally: [{ kind: 'train', role: 'source', state: 'accepted', count: 2 }],
      },
      checkpoint: checkpointOf('r1', 1),
      bytes: 2001,
      diagnostics: { gamma: 0.98, 'steps.mean': 1e21 },
      matrices,
      coefficients: { anna: [0.25, 1 / 3] },
      evaluation: null,
    });
    expect(second).toMatchObject({ round: next, checkpoint: null, bytes: 0, evaluation: null });
  });

  it('lists every attempt, oldest first, and ends the run with its reason', async () => {
    const waiting = await createRun(theStore());
    const reason = 'quorum missed: 1 of 3';
    const abandoned = step(waiting, { type: 'abandon', at: startedAt + 1, reason });
    const retry = openRound('r1', 1, 2, 0, startedAt + 2, startedAt + 9);
    await theStore().commit(abandoned, { next: retry });
    const failed = step(retry, { type: 'abandon', at: startedAt + 10, reason: 'again' });
    await theStore().commit(failed, { run: { status: 'failed', reason: 'no retries are left' } });

    expect((await theStore().rounds('r1')).map((r) => r.round)).toEqual([abandoned, failed]);
    expect(await theStore().currentRound('r1')).toEqual(failed);
    expect(await theStore().run('r1')).toMatchObject({
      status: 'failed',
      reason: 'no retries are left',
    });
  });

  it('finds the newest round that needs its updates no longer', async () => {
    const settled = async (): Promise<string | undefined> => {
      const round = await theStore().settledRound('r1');
      return round ? `${round.number}.${round.attempt} ${round.phase}` : undefined;
    };
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert']);
    await theStore().record(assignments[0].id, updateOf('a'));
    expect(await settled()).toBeUndefined();
    const missed = step(round, { type: 'abandon', at: startedAt, reason: 'missed' });
    const retry = openRound('r1', 1, 2, 0, startedAt);
    await theStore().commit(missed, { next: retry });
    expect(await settled()).toBe('1.1 abandoned');
    const again = beginRound(retry);
    await theStore().commit(again, {});
    const aggregating = closeCollection(again);
    await theStore().commit(aggregating, {});
    expect(await settled()).toBe('1.1 abandoned');
    const [{ round: listed }] = await theStore().rounds('r1');
    expect(await theStore().settledRound('r1')).toEqual(listed);
    const commit = {
      type: 'commit',
      at: startedAt,
      version: 1,
      evaluateUntil: startedAt + 9,
    } as const;
    const evaluating = step(aggregating, commit);
    await theStore().commit(evaluating, { checkpoint: checkpointOf('r1', 1) });
    expect(await settled()).toBe('1.2 evaluating');
    const closed = step(evaluating, { type: 'end-evaluation', at: startedAt });
    await theStore().commit(closed, { next: openRound('r1', 2, 1, 1, startedAt) });
    expect(await settled()).toBe('1.2 closed');
    expect(await theStore().settledRound('no-such-run')).toBeNull();
  });

  it('counts the tally from the assignments, by kind, role and state', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const { round, assignments } = await startTraining(theStore(), names, { e: 'target' });
    const [a, b, c] = assignments;
    await theStore().record(a.id, updateOf('a'));
    await theStore().record(b.id, updateOf('b', { error: rejected }));
    await theStore().drop(c.id);
    const tally = [
      { kind: 'train', role: 'source', state: 'accepted', count: 1 },
      { kind: 'train', role: 'source', state: 'dropped', count: 1 },
      { kind: 'train', role: 'source', state: 'invited', count: 1 },
      { kind: 'train', role: 'source', state: 'rejected', count: 1 },
      { kind: 'train', role: 'target', state: 'invited', count: 1 },
    ];
    expect(await theStore().currentRound('r1')).toEqual({ ...round, tally });
    expect((await theStore().rounds('r1'))[0].round.tally).toEqual(tally);
  });

  it('counts bytes of accepted updates only', async () => {
    const { assignments } = await startTraining(theStore(), ['a', 'b']);
    await theStore().record(assignments[0].id, updateOf('a', { bytes: 3_000_000_000 }));
    await theStore().record(assignments[1].id, updateOf('b', { bytes: 7, error: rejected }));
    expect((await theStore().rounds('r1'))[0].bytes).toBe(3_000_000_000);
  });

  it('cleans reasons, which may hold what a client wrote', async () => {
    const waiting = await createRun(theStore());
    const reason = 'NUL \u0000 and half a pair \ud83d.';
    const abandoned = step(waiting, { type: 'abandon', at: startedAt + 1, reason });
    await theStore().commit(abandoned, { run: { status: 'failed', reason } });
    const cleaned = 'NUL \ufffd and half a pair \ufffd.';
    expect((await theStore().currentRound('r1'))?.reason).toBe(cleaned);
    expect((await theStore().run('r1'))?.reason).toBe(cleaned);
  });

  it('takes evaluations while the round evaluates, once from each client', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert', 'cleo']);
    const asked = (await theStore().clients('r1')).map((c) => assignmentFor(round, c, 'evaluate'));
    const [anna, bert, cleo] = asked;
    const report = { numExamples: 40, sums: { loss: 12.5, accuracy: 31 } };
    await theStore().record(assignments[0].id, updateOf('a'));
    const aggregating = closeCollection(round);
    await theStore().commit(aggregating, {});
    const at = startedAt + 70_000;
    const evaluating = step(aggregating, {
      type: 'commit',
      at,
      version: 1,
      evaluateUntil: at + 1000,
    });
    await theStore().commit(evaluating, {
      checkpoint: checkpointOf('r1', 1),
      assignments: asked.map((a) => ({ ...a, baseVersion: 1 })),
    });

    expect(await theStore().report(anna.id, report)).toBe(true);
    expect(await theStore().report(anna.id, { ...report, numExamples: 41 })).toBe(false);
    expect(await theStore().report(assignments[1].id, report)).toBe(false);
    expect(await theStore().drop(bert.id)).toBe(true);
    expect(await theStore().report(bert.id, report)).toBe(false);
    const evaluation = {
      version: 1,
      numExamples: 40,
      pooled: { loss: 0.3125, accuracy: 0.775 },
      sites: { anna: { numExamples: 40, metrics: { loss: 0.3125, accuracy: 0.775 } } },
    };
    const closed = step(evaluating, { type: 'end-evaluation', at: at + 500 });
    expect(await theStore().commit(closed, { evaluation })).toBe(true);
    expect(await theStore().report(cleo.id, report)).toBe(false);

    expect((await theStore().rounds('r1'))[0].evaluation).toEqual(evaluation);
    const stored = await theStore().assignments('r1', 1, 1);
    expect(stored.map((a) => `${a.clientId} ${a.kind} ${a.state}`)).toEqual([
      'anna train accepted',
      'anna evaluate accepted',
      'bert train invited',
      'bert evaluate dropped',
      'cleo train invited',
      'cleo evaluate invited',
    ]);
    expect(stored[1].report).toEqual(report);
    expect(stored[5].report).toBeNull();
  });

  it('drops an assignment once, and only while its round waits for it', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert', 'cleo']);
    const [anna, bert, cleo] = assignments;
    await theStore().record(anna.id, updateOf('a'));
    expect(await theStore().drop(anna.id)).toBe(false);
    expect(await theStore().drop(bert.id)).toBe(true);
    expect(await theStore().drop(bert.id)).toBe(false);
    await theStore().commit(closeCollection(round), {});
    expect(await theStore().drop(cleo.id)).toBe(false);
    const states = (await theStore().assignments('r1', 1, 1)).map((a) => a.state);
    expect(states).toEqual(['accepted', 'dropped', 'invited']);
  });
}

const rejected = {
  code: 'not_finite',
  message: 'dense/kernel: NaN',
  help: 'Look again.',
  retryable: false,
} as const;
