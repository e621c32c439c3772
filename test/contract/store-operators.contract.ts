import { expect, it } from 'vitest';
import type { Operator } from '../../server/core/records.js';
import { eventOf, sha, startedAt } from './records.js';
import type { TheStore } from './store.contract.js';

export function operatorContract(theStore: TheStore): void {
  const olga: Operator = {
    name: 'olga',
    role: 'viewer',
    createdAt: startedAt + 1,
    tokenExpiresAt: startedAt + 60_000,
    revoked: false,
  };
  const eventTypes = async (): Promise<string[]> =>
    (await theStore().coordinatorEvents()).map(({ type }) => type);

  it('finds an operator by the hash of the token, and no other way', async () => {
    await theStore().addOperator(olga, sha('secret'), eventOf('added'));
    expect(await theStore().operatorByToken(sha('secret'))).toEqual(olga);
    expect(await theStore().operatorByToken('secret')).toBeNull();
    expect(await theStore().clientByToken(sha('secret'))).toBeNull();
    expect(await eventTypes()).toEqual(['added']);
  });

  it('takes a name once, however many ask at the same time', async () => {
    const attempts = Array.from({ length: 6 }, (_, i) =>
      theStore().addOperator(olga, sha(`token ${i}`), eventOf('added')),
    );
    const outcomes = await Promise.allSettled(attempts);
    const refused = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason as unknown] : []));
    expect(refused).toHaveLength(5);
    for (const error of refused) expect(error).toMatchObject({ code: 'name_taken' });
    expect(await theStore().operators()).toEqual([olga]);
    expect(await eventTypes()).toHaveLength(1);
  });

  it('does not give one token to two operators', async () => {
    await theStore().addOperator(olga, sha('same'), eventOf('added'));
    const paul = { ...olga, name: 'paul' };
    await expect(theStore().addOperator(paul, sha('same'), eventOf('added'))).rejects.toMatchObject(
      { code: 'conflict' },
    );
    expect(await theStore().operators()).toEqual([olga]);
  });

  it('lists operators by name', async () => {
    for (const name of ['b', 'B', 'a-b', 'ab']) {
      await theStore().addOperator({ ...olga, name }, sha(name), eventOf('added'));
    }
    expect((await theStore().operators()).map(({ name }) => name)).toEqual(['B', 'a-b', 'ab', 'b']);
  });

  it('revokes an operator, and tells the ledger', async () => {
    await theStore().addOperator(olga, sha('secret'), eventOf('added'));
    const revoked = await theStore().changeOperator('olga', { revoked: true }, eventOf('revoked'));
    expect(revoked).toEqual({ ...olga, revoked: true });
    expect(await theStore().operatorByToken(sha('secret'))).toEqual(revoked);
    expect(await eventTypes()).toEqual(['added', 'revoked']);
  });

  it('puts a new token in the place of the old one', async () => {
    await theStore().addOperator(olga, sha('old'), eventOf('added'));
    const token = { hash: sha('new'), expiresAt: null };
    const rotated = await theStore().changeOperator('olga', { token }, eventOf('rotated'));
    expect(rotated).toEqual({ ...olga, tokenExpiresAt: null });
    expect(await theStore().operatorByToken(sha('old'))).toBeNull();
    expect(await theStore().operatorByToken(sha('new'))).toEqual(rotated);
  });

  it('changes nothing of an operator that is not there', async () => {
    expect(await theStore().changeOperator('olga', { revoked: true }, eventOf('x'))).toBeNull();
    expect(await eventTypes()).toEqual([]);
  });
}
