import { expect, it } from 'vitest';
import type { ClientCount } from '../../server/core/ports.js';
import type { EnrolledClient } from '../../server/core/records.js';
import {
  assignmentFor,
  closeCollection,
  createRun,
  enrol,
  enrolledClient,
  eventOf,
  sha,
  startTraining,
  startedAt,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

export function clientContract(theStore: TheStore): void {
  const anna = enrolledClient({ runId: 'r1', id: 'anna', role: 'target' });
  const enrolSole = (client: EnrolledClient): Promise<void> => {
    const token = sha(`token of ${client.id} in ${client.runId}`);
    return theStore().enrol(client, token, eventOf('enrolled'), { sole: true });
  };

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
    // Some of them with the token of the one that is first: it asked twice.
    const attempts = Array.from({ length: 8 }, (_, i) =>
      theStore().enrol(anna, sha(`token ${i % 2}`), eventOf('enrolled')),
    );
    const outcomes = await Promise.allSettled(attempts);
    const refused = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason as unknown] : []));
    expect(refused).toHaveLength(7);
    for (const error of refused) expect(error).toMatchObject({ code: 'name_taken' });
    expect(await theStore().events('r1')).toHaveLength(2);
  });

  it('takes one client that is to be the sole one of its role, however many ask at once', async () => {
    await createRun(theStore());
    await enrol(theStore(), { runId: 'r1', id: 'a source', role: 'source' });
    const names = Array.from({ length: 8 }, (_, i) => `target ${i}`);
    const outcomes = await Promise.allSettled(names.map((id) => enrolSole({ ...anna, id })));
    const taken = names.filter((_, i) => outcomes[i].status === 'fulfilled');
    expect(taken).toHaveLength(1);
    for (const outcome of outcomes.filter(({ status }) => status === 'rejected')) {
      const message = expect.stringContaining(`"${taken[0]}" is it`) as string;
      expect(outcome).toMatchObject({ reason: { code: 'conflict', message } });
    }
    const ids = (await theStore().clients('r1')).map(({ id }) => id);
    expect(ids).toEqual(['a source', taken[0]]);
    expect(await theStore().events('r1')).toHaveLength(3);
  });

  it('counts neither clients that are revoked nor those of other runs, where one is to be sole', async () => {
    await createRun(theStore());
    await createRun(theStore(), 'r2');
    await enrolSole({ ...anna, state: 'revoked' });
    await enrolSole({ ...anna, runId: 'r2' });
    await enrolSole({ ...anna, id: 'berta', state: 'pending' });
    // A name that is taken is no other client's place.
    await expect(enrolSole({ ...anna, id: 'berta' })).rejects.toMatchObject({ code: 'name_taken' });
    await expect(enrolSole({ ...anna, id: 'cleo' })).rejects.toMatchObject({ code: 'conflict' });
    // Who does not ask for it is not bound by it.
    await enrol(theStore(), { ...anna, id: 'dora' });
    expect(await theStore().clients('r1')).toHaveLength(3);
  });

  it('lets one of two come back as the sole one, or a new one in their place', async () => {
    for (const name of ['r1', 'r2', 'r3', 'r4', 'r5', 'r6']) {
      await createRun(theStore(), name);
      for (const id of ['anna', 'berta']) {
        await enrolSole({ ...anna, runId: name, id, state: 'revoked' });
      }
      const back = { from: 'revoked', state: 'approved', sole: true } as const;
      const outcomes = await Promise.allSettled([
        theStore().changeClient(name, 'anna', back, eventOf('rotated')),
        enrolSole({ ...anna, runId: name, id: 'cleo' }),
        theStore().changeClient(name, 'berta', back, eventOf('rotated')),
      ]);
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      expect(refused).toMatchObject(Array(2).fill({ reason: { code: 'conflict' } }));
      const standing = (await theStore().clients(name)).filter(({ state }) => state !== 'revoked');
      expect(standing).toHaveLength(1);
      expect(await theStore().events(name)).toHaveLength(4);
    }
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

  it('keeps state, dates and expiry of a client', async () => {
    await createRun(theStore());
    const guest = {
      ...anna,
      state: 'pending' as const,
      enrolledAt: startedAt + 3,
      tokenExpiresAt: startedAt + 5_000,
    };
    await theStore().enrol(guest, sha('secret'), eventOf('enrolled'));
    expect(await theStore().client('r1', 'anna')).toEqual(guest);
    expect(await theStore().clientByToken(sha('secret'))).toEqual(guest);
    expect(await theStore().client('r1', 'berta')).toBeNull();
    expect(await theStore().client('r2', 'anna')).toBeNull();
  });

  it('changes a state together with its event, and answers the client as it is now', async () => {
    await createRun(theStore());
    await theStore().enrol({ ...anna, state: 'pending' }, sha('secret'), eventOf('enrolled'));
    const change = { state: 'approved' } as const;
    const approved = await theStore().changeClient('r1', 'anna', change, eventOf('approved'));
    expect(approved).toEqual(anna);
    expect(await theStore().clientByToken(sha('secret'))).toEqual(anna);
    const types = (await theStore().events('r1')).map(({ type }) => type);
    expect(types).toEqual(['run-created', 'enrolled', 'approved']);
  });

  it('puts a new token in the place of the old one', async () => {
    await createRun(theStore());
    await theStore().enrol(anna, sha('old'), eventOf('enrolled'));
    const token = { hash: sha('new'), expiresAt: startedAt + 9_000 };
    const rotated = await theStore().changeClient('r1', 'anna', { token }, eventOf('rotated'));
    expect(rotated).toEqual({ ...anna, tokenExpiresAt: startedAt + 9_000 });
    expect(await theStore().clientByToken(sha('old'))).toBeNull();
    expect(await theStore().clientByToken(sha('new'))).toEqual(rotated);
    const forever = { hash: sha('newest'), expiresAt: null };
    await theStore().changeClient('r1', 'anna', { token: forever }, eventOf('rotated'));
    expect(await theStore().client('r1', 'anna')).toEqual(anna);
  });

  it('does not give a client the token of another', async () => {
    await createRun(theStore());
    await theStore().enrol(anna, sha('a'), eventOf('enrolled'));
    await theStore().enrol({ ...anna, id: 'berta' }, sha('b'), eventOf('enrolled'));
    const token = { hash: sha('b'), expiresAt: null };
    await expect(
      theStore().changeClient('r1', 'anna', { token }, eventOf('rotated')),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect(await theStore().clientByToken(sha('a'))).toEqual(anna);
    expect(await theStore().events('r1')).toHaveLength(3);
  });

  it('changes nothing of a client or a run that is not there', async () => {
    await createRun(theStore());
    const change = { state: 'revoked' } as const;
    expect(await theStore().changeClient('r1', 'anna', change, eventOf('x'))).toBeNull();
    expect(await theStore().changeClient('r2', 'anna', change, eventOf('x'))).toBeNull();
    expect(await theStore().events('r1')).toHaveLength(1);
  });

  it('changes a client only from the state that the change is from', async () => {
    await createRun(theStore());
    await theStore().enrol({ ...anna, state: 'revoked' }, sha('secret'), eventOf('enrolled'));
    const approve = { from: 'pending', state: 'approved' } as const;
    expect(await theStore().changeClient('r1', 'anna', approve, eventOf('x'))).toBeNull();
    expect((await theStore().client('r1', 'anna'))?.state).toBe('revoked');
    expect(await theStore().events('r1')).toHaveLength(2);
  });

  it('drops what is open for a client that is revoked, and for nobody else', async () => {
    const { round } = await startTraining(theStore(), ['anna', 'berta']);
    await theStore().changeClient('r1', 'anna', { state: 'revoked' }, eventOf('revoked'));
    const states = (await theStore().assignments('r1', 1, 1)).map(({ state }) => state);
    expect(states).toEqual(['dropped', 'invited']);
    const receipt = await theStore().record(
      assignmentFor(round, { runId: 'r1', id: 'anna', role: 'source' }).id,
      updateOf('too late'),
    );
    expect(receipt.status).toBe('late');
  });

  it('counts the update that was acknowledged before its client was revoked', async () => {
    const { assignments } = await startTraining(theStore(), ['anna', 'berta']);
    const { status } = await theStore().record(assignments[0].id, updateOf('in time'));
    expect(status).toBe('accepted');
    await theStore().changeClient('r1', 'anna', { state: 'revoked' }, eventOf('revoked'));
    expect((await theStore().assignment(assignments[0].id))?.state).toBe('accepted');
  });

  it('leaves rounds that are over as they were', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'berta']);
    await theStore().commit(closeCollection(round), {});
    await theStore().changeClient('r1', 'anna', { state: 'revoked' }, eventOf('revoked'));
    expect((await theStore().assignment(assignments[0].id))?.state).toBe('invited');
  });

  it('keeps what is open for a client that only gets a new token', async () => {
    const { assignments } = await startTraining(theStore(), ['anna']);
    const token = { hash: sha('new'), expiresAt: null };
    await theStore().changeClient('r1', 'anna', { token }, eventOf('rotated'));
    expect((await theStore().assignment(assignments[0].id))?.state).toBe('invited');
  });

  it('gives each update and each revocation one order, however they race', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `c${String(i).padStart(2, '0')}`);
    const { assignments } = await startTraining(theStore(), names);
    const receipts = await Promise.all(
      assignments.map(async ({ id, clientId }) => {
        const revoking = theStore().changeClient(
          'r1',
          clientId,
          { state: 'revoked' },
          eventOf('revoked'),
        );
        const receipt = await theStore().record(id, updateOf(clientId));
        await revoking;
        return receipt;
      }),
    );
    const stored = await theStore().assignments('r1', 1, 1);
    expect(stored.map(({ state }) => state)).toEqual(receipts.map(({ status }) => status));
  });

  it('counts clients by role and standing', async () => {
    await createRun(theStore());
    await createRun(theStore(), 'r2');
    const until = { tokenExpiresAt: startedAt + 10 };
    const clients = [
      anna,
      { ...anna, id: 'b', role: 'source' as const },
      { ...anna, id: 'c', role: 'source' as const, ...until },
      { ...anna, id: 'd', role: 'source' as const, state: 'pending' as const },
      { ...anna, id: 'e', role: 'source' as const, state: 'revoked' as const, ...until },
      { ...anna, id: 'f', runId: 'r2' },
    ];
    for (const client of clients) {
      await theStore().enrol(client, sha(client.id), eventOf('enrolled'));
    }
    const counts = async (at: number): Promise<string[]> =>
      (await theStore().countClients('r1', at)).map(lineOf).sort();
    const others = ['source pending 1', 'source revoked 1', 'target approved 1'];
    expect(await counts(startedAt + 9)).toEqual(['source approved 2', ...others]);
    expect(await counts(startedAt + 10)).toEqual([
      'source approved 1',
      'source expired 1',
      ...others,
    ]);
    expect(await theStore().countClients('nowhere', startedAt)).toEqual([]);
  });
}

function lineOf({ role, standing, count }: ClientCount): string {
  return `${role} ${standing} ${count}`;
}
