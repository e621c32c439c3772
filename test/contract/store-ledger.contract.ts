import { expect, it } from 'vitest';
import { step } from '../../server/core/round.js';
import type { Json } from '../../server/core/rules/rule.js';
import { GENESIS_HASH, verifyChain } from '../../server/adapters/ledger-chain.js';
import { createRun, enrol, eventOf, startedAt } from './records.js';
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
    const begun = step(waiting, { type: 'begin', at: startedAt, deadline: startedAt + 5 });
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
    const begun = step(waiting, { type: 'begin', at: startedAt, deadline: startedAt + 5 });
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
    const begun = step(waiting, { type: 'begin', at: startedAt, deadline: startedAt + 5 });
    const body = { said: 'NUL \u0000, half \udc00', ['key\u0000']: 1 };
    await theStore().commit(begun, { events: [{ at: startedAt, type: 'odd \u0000', body }] });
    const events = await theStore().events('r1');
    expect(events[1]).toMatchObject({
      type: 'odd \ufffd',
      body: { said: 'NUL \ufffd, half \ufffd', 'key\ufffd': 1 },
    });
    expect(verifyChain(events)).toBeNull();
  });

  it('refuses an event with a number that JSON does not have', async () => {
    const waiting = await createRun(theStore());
    const begun = step(waiting, { type: 'begin', at: startedAt, deadline: startedAt + 5 });
    const events = [{ at: startedAt, type: 'weighed', body: { weight: NaN } }];
    await expect(theStore().commit(begun, { events })).rejects.toMatchObject({ code: 'internal' });
    expect(await theStore().currentRound('r1')).toEqual(waiting);
  });
}
