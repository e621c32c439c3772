import { expect, it } from 'vitest';
import type { Client } from '../../server/core/ports.js';
import { createRun, enrol, eventOf, sha } from './records.js';
import type { TheStore } from './store.contract.js';

export function clientContract(theStore: TheStore): void {
  const anna: Client = { runId: 'r1', id: 'anna', role: 'target' };

  it('finds a client by the hash of its token, and no other way', async () => {
    await createRun(theStore());
    await theStore().enrol(anna, sha('secret'), eventOf('enrolled'));
    expect(await theStore().clientByToken(sha('secret'))).toEqual(anna);
    expect(await theStore().clientByToken('secret')).toBeNull();
    expect(await theStore().clientByToken(sha('guess'))).toBeNull();
  });

  it('takes a name once in a run, and keeps the first', async () => {
    await createRun(theStore());
    await createRun(theStore(), 'r2');
    await theStore().enrol(anna, sha('first'), eventOf('enrolled'));
    await expect(
      theStore().enrol({ ...anna, role: 'source' }, sha('second'), eventOf('enrolled')),
    ).rejects.toMatchObject({ code: 'name_taken' });
    await theStore().enrol({ ...anna, runId: 'r2' }, sha('third'), eventOf('enrolled'));
    expect(await theStore().clientByToken(sha('second'))).toBeNull();
    expect(await theStore().clients('r1')).toEqual([anna]);
    expect((await theStore().events('r1')).map((e) => e.type)).toEqual(['run-created', 'enrolled']);
  });

  it('takes a name once, however many ask at the same time', async () => {
    await createRun(theStore());
    const attempts = Array.from({ length: 8 }, (_, i) =>
      theStore().enrol(anna, sha(`token ${i}`), eventOf('enrolled')),
    );
    const outcomes = await Promise.allSettled(attempts);
    const refused = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason as unknown] : []));
    expect(refused).toHaveLength(7);
    for (const error of refused) expect(error).toMatchObject({ code: 'name_taken' });
    expect(await theStore().events('r1')).toHaveLength(2);
  });

  it('enrols nobody in a run that is not there', async () => {
    await expect(
      theStore().enrol({ ...anna, runId: 'nowhere' }, sha('t'), eventOf('enrolled')),
    ).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('does not give one token to two clients', async () => {
    await createRun(theStore());
    await theStore().enrol(anna, sha('same'), eventOf('enrolled'));
    await expect(
      theStore().enrol({ ...anna, id: 'berta' }, sha('same'), eventOf('enrolled')),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect(await theStore().clients('r1')).toEqual([anna]);
  });

  it('lists clients in client-id order: UTF-16 code units, not a locale', async () => {
    await createRun(theStore());
    // A collation for people would put a before B and ignore the dash; UTF-8 bytes, 😀 after ｡.
    const ordered = ['B', 'a', 'a-b', 'a0', 'aa', 'é', '😀', '｡'];
    for (const id of ['aa', '｡', 'B', '😀', 'a-b', 'é', 'a', 'a0']) {
      await enrol(theStore(), { runId: 'r1', id, role: 'source' });
    }
    expect((await theStore().clients('r1')).map((c) => c.id)).toEqual(ordered);
  });
}
