/** What a coordinator that was taken over can still store: nothing that only a leader may. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPrismaStore } from '../../server/adapters/prisma-store.js';
import { LeaseSession } from '../../server/adapters/leadership/lease.js';
import type { Store } from '../../server/core/ports.js';
import { step } from '../../server/core/round.js';
import { checkpointOf, closeCollection, eventOf, startedAt } from '../contract/records.js';
import { startTraining, updateOf } from '../contract/records.js';
import type { Database } from '../support/database.js';
import { eventually, openDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';

let testing: TestDatabase;
let database: Database;
let store: Store;
let sessions: LeaseSession[];
/** Under which the store believes to lead. */
let epoch: number | null;
let refused: number[];
beforeEach(async () => {
  testing = await testDatabase();
  database = await openDatabase(testing.url);
  sessions = [];
  refused = [];
  const fence = { epoch: () => epoch, refused: (old: number) => refused.push(old) };
  store = await createPrismaStore({
    url: testing.url,
    fence,
    limits: { idleInTransactionMs: 500 },
  });
  epoch = await (await lease('first')).take();
});
afterEach(async () => {
  await Promise.all(sessions.map((session) => session.end()));
  await database.close();
  await store.close();
  await testing.drop();
});

async function lease(holder: string, leaseMs = 60_000): Promise<LeaseSession> {
  const options = { url: testing.url, leaseMs, holder, address: () => null };
  const session = await LeaseSession.open(options);
  sessions.push(session);
  return session;
}

async function takenOver(): Promise<void> {
  await sessions[0].release(1);
  expect(await (await lease('second')).take()).toBe(2);
}

describe('a leader', () => {
  it('stores what it decides', async () => {
    const { round, assignments } = await startTraining(store, ['anna', 'bert']);
    expect(await store.drop(assignments[0].id)).toBe(true);
    expect(await store.drop(assignments[0].id)).toBe(false);
    expect(await store.commit(closeCollection(round), {})).toBe(true);
    expect(await store.commit(closeCollection(round), {})).toBe(false);
    expect(refused).toEqual([]);
  });
});

describe('a leader that was taken over', () => {
  it('commits nothing and drops nobody, and is told', async () => {
    const { round, assignments } = await startTraining(store, ['anna']);
    const before = [await store.currentRound('r1'), await store.events('r1')];
    await takenOver();
    const changes = { checkpoint: checkpointOf('r1', 1), events: [eventOf('never')] };
    await expect(store.commit(closeCollection(round), changes)).rejects.toMatchObject({
      code: 'standby',
      retryable: true,
    });
    await expect(store.drop(assignments[0].id)).rejects.toMatchObject({ code: 'standby' });
    expect(refused).toEqual([1, 1]);
    expect([await store.currentRound('r1'), await store.events('r1')]).toEqual(before);
    expect(await store.checkpoint('r1', 1)).toBeNull();
  });

  it('is refused without a question where it knows', async () => {
    const { round } = await startTraining(store, ['anna']);
    epoch = null;
    await expect(store.commit(closeCollection(round), {})).rejects.toMatchObject({
      code: 'standby',
    });
    expect(refused).toEqual([]);
  });

  it('still stores receipts and what operators decide', async () => {
    const { round, assignments } = await startTraining(store, ['anna']);
    await takenOver();
    expect(await store.record(assignments[0].id, updateOf('anna'))).toMatchObject({
      status: 'accepted',
    });
    const ended = step(round, { type: 'abandon', at: startedAt, reason: 'stopped' });
    const run = { status: 'stopped', reason: 'stopped' } as const;
    expect(await store.commit(ended, { run, byOperator: true })).toBe(true);
    expect(await store.run('r1')).toMatchObject({ status: 'stopped' });
  });
});

describe('a take-over', () => {
  const inCommit = `SELECT 1 FROM leadership WHERE epoch = 1 FOR KEY SHARE`;

  it('waits for a commit that has begun; a renewal does not', async () => {
    await database.query('BEGIN');
    await database.query(inCommit);
    expect(await sessions[0].renew(1)).toBe(true);
    await sessions[0].release(1);
    let epochs: number | null | undefined;
    const taking = (await lease('second')).take().then((taken) => (epochs = taken));
    const watcher = await openDatabase(testing.url);
    await eventually('the take-over waits', async () => {
      const rows = await watcher.query(
        `SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length > 0 ? true : null;
    });
    await watcher.close();
    expect(epochs).toBeUndefined();
    await database.query('COMMIT');
    expect(await taking).toBe(2);
  });

  it('does not wait for ever for a leader that stands still in the middle of a commit', async () => {
    const stopped = await openDatabase(testing.url);
    await stopped.query('SET idle_in_transaction_session_timeout = 500');
    await stopped.query('BEGIN');
    await stopped.query(inCommit);
    await sessions[0].release(1);
    expect(await (await lease('second', 2_000)).take()).toBe(2);
  });

  it('is refused while the lease lasts and its holder is there', async () => {
    const second = await lease('second');
    expect(await second.look()).toEqual({ leader: { epoch: 1, url: null }, free: false });
    expect(await second.take()).toBeNull();
    await sessions[0].end();
    await eventually('the session of the first is gone', async () =>
      (await second.look()).free ? true : null,
    );
    expect(await second.take()).toBe(2);
    expect(await (await lease('first')).renew(1)).toBe(false);
  });
});
