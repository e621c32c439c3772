import { expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { Json } from '../../server/core/rules/rule.js';
import { GENESIS_HASH, verifyChain } from '../../server/adapters/ledger-chain.js';
import {
  beginRound,
  closeCollection,
  createRun,
  enrol,
  eventOf,
  startedAt,
  startTraining,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

export function ledgerContract(theStore: TheStore): void {
  const bodies: Json[] = [
    { weights: [0.1, 0.30000000000000004, 1 / 3, 5e-324, 1.7976931348623157e308, -1e21] },
    { zero: -0, whole: 1.0, big: 2 ** 53, nested: { z: { b: [], a: {} }, a: null } },
    { text: 'ä, 数字, 😀, \u2028, "quoted" \\ /', '': 'empty name', __proto__: 'not a member' },
    JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "$type": "Json"}') as Json,
    ['a list', [[]], true, false, null],
    'a text',
    0.25,
    null,
  ];

  it('chains the events of a run, and the chain holds when it is read', async () => {
    const waiting = await createRun(theStore());
    const events = bodies.map((body, i) => ({ at: startedAt + i, type: `body ${i}`, body }));
    const begun = beginRound(waiting);
    await theStore().commit(begun, { events });
    await enrol(theStore(), { runId: 'r1', id: 'anna', role: 'source' });

    const stored = await theStore().events('r1');
    expect(verifyChain(stored)).toBeNull();
    expect(stored.map((e) => e.seq)).toEqual(Array.from({ length: 10 }, (_, i) => i + 1));
    expect(stored[0].prevHash).toBe(GENESIS_HASH);
    expect(stored.slice(1, 9).map(({ at, type, body }) => ({ at, type, body }))).toEqual(
      events.map((e, i) => (i === 1 ? { ...e, body: withoutMinusZero } : e)),
    );
  });

  const withoutMinusZero = {
    zero: 0,
    whole: 1,
    big: 2 ** 53,
    nested: { z: { b: [], a: {} }, a: null },
  };

  it('keeps the chains of runs apart', async () => {
    await createRun(theStore(), 'r1');
    await createRun(theStore(), 'r2');
    await enrol(theStore(), { runId: 'r1', id: 'anna', role: 'source' });
    await enrol(theStore(), { runId: 'r2', id: 'anna', role: 'source' });
    for (const id of ['r1', 'r2']) {
      const events = await theStore().events(id);
      expect(events.map((e) => e.seq)).toEqual([1, 2]);
      expect(verifyChain(events)).toBeNull();
    }
  });

  it('stays a chain when many append to it at the same time', async () => {
    const waiting = await createRun(theStore());
    const begun = beginRound(waiting);
    await Promise.all([
      ...Array.from({ length: 20 }, (_, i) =>
        enrol(theStore(), { runId: 'r1', id: `c${i}`, role: 'source' }),
      ),
      theStore().commit(begun, { events: [eventOf('one'), eventOf('two')] }),
    ]);
    const events = await theStore().events('r1');
    expect(events).toHaveLength(23);
    expect(verifyChain(events)).toBeNull();
  });

  it('hashes what it stores, not what it was given', async () => {
    const waiting = await createRun(theStore());
    const begun = beginRound(waiting);
    const body = { said: 'NUL \u0000, half \udc00', ['key\u0000']: 1 };
    await theStore().commit(begun, { events: [{ at: startedAt, type: 'odd \u0000', body }] });
    const events = await theStore().events('r1');
    expect(events[1]).toMatchObject({
      type: 'odd \ufffd',
      body: { said: 'NUL \ufffd, half \ufffd', 'key\ufffd': 1 },
    });
    expect(verifyChain(events)).toBeNull();
  });

  it('appends to the ledger of a run what changes nothing else', async () => {
    const waiting = await createRun(theStore());
    await theStore().append('r1', [eventOf('one'), eventOf('two')]);
    await theStore().append('r1', []);
    const events = await theStore().events('r1');
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'run-created'],
      [2, 'one'],
      [3, 'two'],
    ]);
    expect(verifyChain(events)).toBeNull();
    expect(await theStore().currentRound('r1')).toEqual(waiting);
    const nowhere = theStore().append('no-such-run', [eventOf('one')]);
    await expect(nowhere).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it("keeps the coordinator's own events in a chain of their own", async () => {
    await createRun(theStore());
    expect(await theStore().coordinatorEvents()).toEqual([]);
    const append = (type: string) => theStore().appendCoordinatorEvents([eventOf(type)]);
    await append('first');
    await Promise.all(Array.from({ length: 20 }, (_, i) => append(`event ${i}`)));
    const events = await theStore().coordinatorEvents();
    expect(events.map((e) => e.seq)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
    expect(events[0]).toMatchObject({ type: 'first', prevHash: GENESIS_HASH });
    expect(verifyChain(events)).toBeNull();
    expect(await theStore().events('r1')).toHaveLength(1);
  });

  it('reads a ledger in pages', async () => {
    await createRun(theStore());
    const types = ['b', 'c', 'd', 'e'];
    await theStore().append(
      'r1',
      types.map((type) => eventOf(type)),
    );
    await theStore().appendCoordinatorEvents(types.map((type) => eventOf(type)));
    const seqs = async (from: number, limit: number): Promise<number[]> =>
      (await theStore().events('r1', { from, limit })).map((e) => e.seq);
    expect(await seqs(1, 2)).toEqual([1, 2]);
    expect(await seqs(4, 2)).toEqual([4, 5]);
    expect(await seqs(5, 9)).toEqual([5]);
    expect(await seqs(6, 2)).toEqual([]);
    const own = await theStore().coordinatorEvents({ from: 2, limit: 2 });
    expect(own.map((e) => e.type)).toEqual(['c', 'd']);
  });

  it('reads the events of one type, oldest first', async () => {
    await createRun(theStore(), 'r1');
    await createRun(theStore(), 'r2');
    const types = ['b', 'c', 'b', 'd'];
    for (const id of ['r1', 'r2'])
      await theStore().append(
        id,
        types.map((type) => eventOf(type)),
      );
    const events = await theStore().events('r1');
    expect(await theStore().eventsOfType('r1', 'b')).toEqual([events[1], events[3]]);
    expect(await theStore().eventsOfType('r1', 'none')).toEqual([]);
    expect(await theStore().eventsOfType('no-such-run', 'b')).toEqual([]);
  });

  it('has each rejected update, once, and no accepted or late one', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert', 'cleo']);
    const [anna, bert, cleo] = assignments;
    const error = new TributaryError('wrong_shape', 'dense/kernel is [2, 3]').toBody();
    await theStore().record(anna.id, updateOf('a'));
    const bad = updateOf('b', { error });
    await theStore().record(bert.id, bad);
    await theStore().record(bert.id, bad);
    await theStore().commit(closeCollection(round), {});
    await theStore().record(cleo.id, updateOf('c'));
    const events = await theStore().events('r1');
    expect(events.filter((e) => e.type === 'update-rejected')).toMatchObject([
      {
        at: bad.receivedAt,
        body: {
          client: 'bert',
          assignment: bert.id,
          round: 1,
          code: 'wrong_shape',
          sha256: bad.sha256,
        },
      },
    ]);
    expect(verifyChain(events)).toBeNull();
  });

  it('refuses an event with a number that JSON does not have', async () => {
    const waiting = await createRun(theStore());
    const begun = beginRound(waiting);
    const events = [{ at: startedAt, type: 'weighed', body: { weight: NaN } }];
    await expect(theStore().commit(begun, { events })).rejects.toMatchObject({ code: 'internal' });
    expect(await theStore().currentRound('r1')).toEqual(waiting);
  });
}
