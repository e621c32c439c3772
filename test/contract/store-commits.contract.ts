import { expect, it } from 'vitest';
import { openRound, step } from '../../server/core/round.js';
import {
  assignmentFor,
  beginRound,
  checkpointOf,
  closeCollection,
  createRun,
  enrol,
  eventOf,
  sha,
  startedAt,
  startTraining,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

export function commitContract(theStore: TheStore): void {
  it('lets one of two committers win, and shows nothing of the other', async () => {
    const waiting = await createRun(theStore());
    for (const id of ['anna', 'bert']) await enrol(theStore(), { runId: 'r1', id, role: 'source' });
    const begun = beginRound(waiting);
    const abandoned = step(waiting, { type: 'abandon', at: startedAt, reason: 'nobody came' });
    const first = { assignments: [assignmentFor(begun, await client('anna'))] };
    expect(await theStore().commit(begun, first)).toBe(true);
    const second = {
      assignments: [assignmentFor(begun, await client('bert'))],
      checkpoint: checkpointOf('r1', 1),
      diagnostics: { lost: 1 },
      run: { status: 'failed', reason: 'lost' } as const,
      next: openRound('r1', 1, 2, 0, startedAt),
      events: [eventOf('lost')],
    };
    expect(await theStore().commit(abandoned, second)).toBe(false);

    expect(await theStore().currentRound('r1')).toMatchObject({ phase: 'training', attempt: 1 });
    expect(await theStore().assignments('r1', 1, 1)).toHaveLength(1);
    expect(await theStore().checkpoint('r1', 1)).toBeNull();
    expect((await theStore().rounds('r1')).map((r) => r.diagnostics)).toEqual([{}]);
    expect(await theStore().run('r1')).toMatchObject({ status: 'running', reason: null });
    expect((await theStore().events('r1')).map((e) => e.type)).not.toContain('lost');
  });

  it('lets exactly one of many committers win that come at the same time', async () => {
    const waiting = await createRun(theStore());
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        theStore().commit(beginRound(waiting, startedAt + i), { events: [eventOf(`winner ${i}`)] }),
      ),
    );
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    const events = await theStore().events('r1');
    expect(events.map((e) => e.type).slice(1)).toEqual([`winner ${outcomes.indexOf(true)}`]);
    const round = await theStore().currentRound('r1');
    expect(round?.deadline).toBe(startedAt + outcomes.indexOf(true));
  });

  it('commits no round that is not there, and none twice', async () => {
    const waiting = await createRun(theStore());
    const begun = beginRound(waiting);
    for (const stranger of [{ runId: 'r2' }, { number: 2 }, { attempt: 2 }, { revision: 3 }]) {
      expect(await theStore().commit({ ...begun, ...stranger }, {})).toBe(false);
    }
    expect(await theStore().commit(begun, {})).toBe(true);
    expect(await theStore().commit(begun, {})).toBe(false);
  });

  it('invites all of a cohort or, where one of them is nobody, none', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `c${String(i).padStart(3, '0')}`);
    const waiting = await createRun(theStore());
    const enrolAll = (some: readonly string[]): Promise<unknown> =>
      Promise.all(some.map((id) => enrol(theStore(), { runId: 'r1', id, role: 'source' })));
    await enrolAll(names.slice(0, -1));
    const begun = beginRound(waiting);
    const assignments = names.map((id) =>
      assignmentFor(begun, { runId: 'r1', id, role: 'source' }),
    );
    await expect(theStore().commit(begun, { assignments })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await theStore().currentRound('r1')).toEqual(waiting);

    await enrolAll(names.slice(-1));
    expect(await theStore().commit(begun, { assignments })).toBe(true);
    const stored = await theStore().assignments('r1', 1, 1);
    expect(stored.map((a) => a.clientId)).toEqual(names);
  });

  it('refuses what contradicts the round, and changes nothing', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert']);
    await theStore().record(assignments[0].id, updateOf('a'));
    const closed = closeCollection(round);
    const before = await theStore().currentRound('r1');
    for (const changes of [
      { weights: { [assignments[0].id]: 1, [assignments[1].id]: 1 } },
      { weights: { unknown: 1 } },
      { checkpoint: checkpointOf('r1', 0) },
      { assignments: [assignments[0]] },
      { assignments: [{ ...assignments[0], id: 'another for the same client' }] },
      { assignments: [{ ...assignments[0], id: 'x', clientId: 'nobody' }] },
      { next: openRound('r1', 1, 1, 0, startedAt) },
      { next: openRound('r1', 2, 1, 7, startedAt) },
    ]) {
      const attempt = theStore().commit(closed, { ...changes, events: [eventOf('refused')] });
      await expect(attempt, JSON.stringify(changes)).rejects.toMatchObject({ code: 'conflict' });
    }
    expect(await theStore().currentRound('r1')).toEqual(before);
    expect((await theStore().assignment(assignments[0].id))?.update?.weight).toBeNull();
    expect((await theStore().events('r1')).map((e) => e.type)).not.toContain('refused');
  });

  it.each([
    ['diagnostics', { diagnostics: { gamma: NaN } }, 'diagnostics.gamma: NaN'],
    ['matrices', { matrices: { gram: [[1, Infinity]] } }, 'matrices.gram[0][1]: Infinity'],
    ['coefficients', { coefficients: { anna: [-Infinity] } }, 'coefficients.anna[0]: -Infinity'],
  ])('refuses numbers in %s that JSON would turn into null', async (_, changes, named) => {
    const waiting = await createRun(theStore());
    const begun = beginRound(waiting);
    await expect(theStore().commit(begun, changes)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining(named) as string,
    });
    expect(await theStore().currentRound('r1')).toEqual(waiting);
  });

  async function client(id: string) {
    const found = await theStore().clientByToken(sha(`token of ${id} in r1`));
    if (!found) throw new Error(`no client ${id}`);
    return found;
  }
}
