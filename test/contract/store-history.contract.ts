import { expect, it } from 'vitest';
import type { ListedRound, RoundRecord } from '../../server/core/records.js';
import { openRound, step } from '../../server/core/round.js';
import {
  beginRound,
  checkpointOf,
  closeCollection,
  createRun,
  startTraining,
  startedAt,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

/** Rounds as they are looked up and listed, a page at a time. */
export function historyContract(theStore: TheStore): void {
  it('lists any page of the rounds as the whole list has them, and how many there are', async () => {
    await sevenRounds(theStore);
    const all = (await theStore().rounds('r1')).map(listed);
    expect(all.map(placeOf)).toEqual(['1.1', '1.2', '2.1', '2.2', '2.3', '2.4', '2.5']);
    for (const from of [null, 1, 2, 3, 7, 8, 99]) {
      for (const limit of [0, 1, 3, 7, 50]) {
        const first = from ?? Math.max(1, 8 - limit);
        expect(await theStore().listRounds('r1', { from, limit }), `${from}, ${limit}`).toEqual({
          inAll: 7,
          from: first,
          rounds: all.slice(first - 1, first - 1 + limit),
        });
      }
    }
    // What clients did is counted for the rounds of the page, and their bytes.
    const [first] = (await theStore().listRounds('r1', { from: 2, limit: 1 })).rounds;
    expect(first).toMatchObject({ bytes: 1234, checkpoint: { version: 1 } });
    expect(first.round.tally).toEqual([
      { kind: 'train', role: 'source', state: 'accepted', count: 1 },
    ]);
    const nothing = { inAll: 0, from: 1, rounds: [] };
    expect(await theStore().listRounds('no-such-run', { from: null, limit: 3 })).toEqual(nothing);
  });

  it('shows a list without the tables over the cohort, which are most of a round', async () => {
    await sevenRounds(theStore);
    expect((await theStore().rounds('r1'))[1]).toMatchObject({ matrices: { gram: [[1]] } });
    const { rounds } = await theStore().listRounds('r1', { from: null, limit: 7 });
    const shown = ['round', 'checkpoint', 'bytes', 'diagnostics', 'evaluation'].sort();
    for (const each of rounds) expect(Object.keys(each).sort()).toEqual(shown);
    expect(Object.keys((await theStore().round('r1', 1))!).sort()).toEqual(shown);
  });

  it('finds one round: its newest attempt, or a given one', async () => {
    await sevenRounds(theStore);
    const all = (await theStore().rounds('r1')).map(listed);
    expect(await theStore().round('r1', 1)).toEqual(all[1]);
    expect(await theStore().round('r1', 1, 1)).toEqual(all[0]);
    expect(await theStore().round('r1', 2)).toEqual(all[6]);
    expect(await theStore().round('r1', 2, 4)).toEqual(all[5]);
    for (const [run, number, attempt] of [
      ['r1', 3],
      ['r1', 1, 3],
      ['r1', 1, 0],
      ['r1', 2 ** 31],
      ['r1', 1, 2 ** 40],
      ['no-such-run', 1],
    ] as const) {
      expect(await theStore().round(run, number, attempt), `${number}, ${attempt}`).toBeNull();
    }
  });

  it('knows the newest version of every run', async () => {
    expect([...(await theStore().versions())]).toEqual([]);
    await sevenRounds(theStore);
    await createRun(theStore(), 'r2');
    const { round } = await startTraining(theStore(), ['cleo'], {}, 'r3');
    const aggregating = closeCollection(round);
    await theStore().commit(aggregating, {});
    const evaluateUntil = startedAt + 9;
    const evaluating = step(aggregating, {
      ...{ type: 'commit', at: startedAt, version: 1, evaluateUntil },
    });
    await theStore().commit(evaluating, { checkpoint: checkpointOf('r3', 1) });
    expect([...(await theStore().versions())].sort()).toEqual([
      ['r1', 1],
      ['r2', 0],
      ['r3', 1],
    ]);
  });
}

/** Round 1 is abandoned once, and commits; of round 2, the fifth attempt waits. */
async function sevenRounds(theStore: TheStore): Promise<void> {
  const store = theStore();
  const { round } = await startTraining(store, ['anna']);
  const abandon = { type: 'abandon', at: startedAt, reason: 'missed' } as const;
  const retry = openRound('r1', 1, 2, 0, startedAt);
  await store.commit(step(round, abandon), { next: retry });
  const begun = beginRound(retry);
  const again = { id: 'again', runId: 'r1', round: 1, attempt: 2, clientId: 'anna' };
  const assignment = { ...again, role: 'source', kind: 'train', baseVersion: 0 } as const;
  await store.commit(begun, { assignments: [assignment] });
  await store.record('again', updateOf('again', { bytes: 1234 }));
  const aggregating = closeCollection(begun);
  await store.commit(aggregating, { matrices: { gram: [[1]] }, coefficients: { anna: [1] } });
  let waiting = openRound('r1', 2, 1, 1, startedAt);
  const commit = { type: 'commit', at: startedAt, version: 1, evaluateUntil: null } as const;
  const changes = { checkpoint: checkpointOf('r1', 1), diagnostics: { gamma: 0.5 }, next: waiting };
  await store.commit(step(aggregating, commit), changes);
  for (let attempt = 2; attempt <= 5; attempt++) {
    const next = openRound('r1', 2, attempt, 1, startedAt);
    await store.commit(step(waiting, abandon), { next });
    waiting = next;
  }
}

function listed({ round, checkpoint, bytes, diagnostics, evaluation }: RoundRecord): ListedRound {
  return { round, checkpoint, bytes, diagnostics, evaluation };
}

function placeOf({ round }: ListedRound): string {
  return `${round.number}.${round.attempt}`;
}
