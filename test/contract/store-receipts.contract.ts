import { expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { receipt } from '../../protocol/update.js';
import type { Receipt } from '../../protocol/update.js';
import { assignmentFor, closeCollection, sha, startTraining, updateOf } from './records.js';
import type { TheStore } from './store.contract.js';

export function receiptContract(theStore: TheStore): void {
  const wrongShape = new TributaryError('wrong_shape', 'dense/kernel is [2, 3]', {
    tensor: 'dense/kernel',
  }).toBody();

  it('accepts an update while the round collects, and keeps its facts', async () => {
    const { assignments } = await startTraining(theStore(), ['anna', 'bert']);
    const update = updateOf('a', { numExamples: 2 ** 40, numSteps: 3_000_000_000, norm: 1e-320 });
    const given = await theStore().record(assignments[0].id, update);
    expect(given).toEqual({
      assignmentId: assignments[0].id,
      runId: 'r1',
      round: 1,
      clientId: 'anna',
      status: 'accepted',
      sha256: update.sha256,
      receivedAt: '2026-01-02T03:04:05.685Z',
      duplicate: false,
    });
    const stored = await theStore().assignment(assignments[0].id);
    expect(stored).toMatchObject({ state: 'accepted', update: { ...update, weight: null } });
    expect((await theStore().assignment(assignments[1].id))?.update).toBeNull();
  });

  it('gives the original receipt again for the same update', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna']);
    const id = assignments[0].id;
    const first = await theStore().record(id, updateOf('a'));
    const again = { ...first, duplicate: true };
    expect(await theStore().record(id, updateOf('a', { receivedAt: 1, numExamples: 9 }))).toEqual(
      again,
    );
    await theStore().commit(closeCollection(round), {});
    expect(await theStore().record(id, updateOf('a'))).toEqual(again);
    expect((await theStore().assignment(id))?.update).toMatchObject({ numExamples: 320 });
  });

  it('refuses another update for an assignment that was used, and keeps the first', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const id = assignments[0].id;
    await theStore().record(id, updateOf('a'));
    for (const other of [updateOf('b'), updateOf('b', { error: wrongShape })]) {
      await expect(theStore().record(id, other)).rejects.toMatchObject({ code: 'assignment_used' });
    }
    expect((await theStore().assignment(id))?.update?.sha256).toBe(sha('a'));
  });

  it('uses an assignment up with a rejected update', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const id = assignments[0].id;
    const first = await theStore().record(id, updateOf('a', { error: wrongShape }));
    expect(first).toMatchObject({ status: 'rejected', duplicate: false, error: wrongShape });
    await expect(theStore().record(id, updateOf('b'))).rejects.toMatchObject({
      code: 'assignment_used',
    });
    const again = await theStore().record(id, updateOf('a', { error: wrongShape }));
    expect(again).toEqual({ ...first, duplicate: true });
    expect(await theStore().assignment(id)).toMatchObject({
      state: 'rejected',
      update: { error: wrongShape },
    });
  });

  it('answers late when the round no longer collects, and says so again', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert']);
    await theStore().commit(closeCollection(round), {});
    const [anna, bert] = assignments;
    const first = await theStore().record(anna.id, updateOf('a'));
    expect(first).toMatchObject({ status: 'late', duplicate: false, error: { code: 'late' } });
    expect(receipt.parse(first)).toEqual(first);
    expect(await theStore().record(anna.id, updateOf('a'))).toEqual({ ...first, duplicate: true });
    await expect(theStore().record(anna.id, updateOf('b'))).rejects.toMatchObject({
      code: 'assignment_used',
    });
    expect((await theStore().assignment(anna.id))?.state).toBe('late');
    // What would be rejected in time is rejected afterwards too.
    const bad = await theStore().record(bert.id, updateOf('c', { error: wrongShape }));
    expect(bad).toMatchObject({ status: 'rejected', error: wrongShape });
  });

  it('answers late when the assignment was dropped before', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    await theStore().drop(assignments[0].id);
    const given = await theStore().record(assignments[0].id, updateOf('a'));
    expect(given).toMatchObject({ status: 'late', error: { code: 'late' } });
    expect((await theStore().assignment(assignments[0].id))?.state).toBe('late');
  });

  it('takes no update for an assignment that never was, or that asks for an evaluation', async () => {
    const { round } = await startTraining(theStore(), ['anna']);
    const [client] = await theStore().clients('r1');
    const evaluate = assignmentFor(round, client, 'evaluate');
    await theStore().commit(closeCollection(round), { assignments: [evaluate] });
    for (const id of ['never', '', 'NUL \u0000', evaluate.id]) {
      await expect(theStore().record(id, updateOf('a'))).rejects.toMatchObject({
        code: 'assignment_unknown',
      });
    }
  });

  it('stores the receipt of an update whose facts were nonsense', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const error = {
      ...wrongShape,
      message: 'tensor "\u0000\ud800": NaN',
      details: { tensor: '\u0000\ud800' },
    };
    const nonsense = updateOf('a', {
      error,
      numExamples: 1.5,
      numSteps: -Infinity,
      norm: NaN,
      maxAbs: Infinity,
      metrics: { loss: NaN, accuracy: 0.25 },
    });
    const given = await theStore().record(assignments[0].id, nonsense);
    const cleaned = {
      ...error,
      message: 'tensor "\ufffd\ufffd": NaN',
      details: { tensor: '\ufffd\ufffd' },
    };
    expect(given).toMatchObject({ status: 'rejected', error: cleaned });
    const stored = await theStore().assignment(assignments[0].id);
    expect(stored?.update).toEqual({
      ...nonsense,
      error: cleaned,
      numExamples: 0,
      numSteps: 0,
      norm: 0,
      maxAbs: 0,
      metrics: { accuracy: 0.25 },
      weight: null,
    });
    const again = await theStore().record(assignments[0].id, nonsense);
    expect(again).toEqual({ ...given, duplicate: true });
  });

  it.each(['numExamples', 'numSteps', 'norm', 'maxAbs'] as const)(
    'does not accept an update whose %s is no number',
    async (fact) => {
      const { assignments } = await startTraining(theStore(), ['anna']);
      await expect(
        theStore().record(assignments[0].id, updateOf('a', { [fact]: NaN })),
      ).rejects.toMatchObject({ code: 'internal' });
      expect((await theStore().assignment(assignments[0].id))?.state).toBe('invited');
    },
  );

  it('gives one receipt to an update that is sent many times at once', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const receipts = await Promise.all(
      Array.from({ length: 12 }, () => theStore().record(assignments[0].id, updateOf('a'))),
    );
    expect(receipts.filter((r) => !r.duplicate)).toHaveLength(1);
    expect(new Set(receipts.map((r) => r.status))).toEqual(new Set(['accepted']));
  });

  it('takes one of several updates that are sent for one assignment at once', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, (_, i) =>
        theStore().record(assignments[0].id, updateOf(`update ${i}`)),
      ),
    );
    const accepted = outcomes.flatMap((o) => (o.status === 'fulfilled' ? [o.value] : []));
    const refused = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason as unknown] : []));
    expect(accepted).toHaveLength(1);
    for (const error of refused) expect(error).toMatchObject({ code: 'assignment_used' });
    expect((await theStore().assignment(assignments[0].id))?.update?.sha256).toBe(
      accepted[0].sha256,
    );
  });

  it('counts every accepted update in the tally of the close that it races with', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `client-${i}`);
    for (const race of [0, 2, 4]) {
      const runId = `race-${race}`;
      const { round, assignments } = await startTraining(theStore(), names, {}, runId);
      const closing = closeCollection(round);
      // As the engine does it: what is there once the close is committed is what is aggregated.
      const close = async (): Promise<[boolean, number]> => {
        const closed = await theStore().commit(closing, {});
        const now = await theStore().currentRound(runId);
        const accepted = now?.tally.find((row) => row.state === 'accepted')?.count ?? 0;
        return [closed, accepted];
      };
      const sent: Promise<Receipt>[] = [];
      let closed: ReturnType<typeof close> | undefined;
      for (const [i, { id }] of assignments.entries()) {
        if (i === race * 10) closed = close();
        sent.push(theStore().record(id, updateOf(id)));
      }
      const [won, counted] = (await closed) ?? [false, 0];
      const receipts = await Promise.all(sent);
      expect(won).toBe(true);
      expect(receipts.filter((r) => r.status === 'accepted')).toHaveLength(counted);
      const stored = await theStore().assignments(runId, 1, 1);
      const byId = new Map(stored.map((a) => [a.id, a.state]));
      for (const r of receipts) expect(byId.get(r.assignmentId)).toBe(r.status);
    }
  });
}
