import { createHash } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { canonicalJson } from '../../server/adapters/canonical-json.js';
import { verifyChain } from '../../server/adapters/ledger-chain.js';
import { createPrismaStore } from '../../server/adapters/prisma-store.js';
import type { Store } from '../../server/core/ports.js';
import { step } from '../../server/core/round.js';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/postgres.js';
import {
  assignmentFor,
  beginRound,
  checkpointOf,
  closeCollection,
  createRun,
  enrol,
  eventOf,
  startedAt,
  startTraining,
  updateOf,
} from './records.js';
import { storeContract } from './store.contract.js';

let database: TestDatabase;
let admin: pg.Client;
let store: Store;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect();
  await admin.query(unhelpfulDefaults);
  store = await createPrismaStore({ url: database.url });
});
afterAll(async () => {
  await store.close();
  await admin.end();
  await database.drop();
});

/** What an administrator may have set for a database; the store's own sessions must not care. */
const unhelpfulDefaults = `
  DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET TimeZone = %L', current_database(), 'America/St_Johns');
    EXECUTE format('ALTER DATABASE %I SET DateStyle = %L', current_database(), 'German');
    EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(),
                   'repeatable read');
  END $$`;

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  return client;
}

async function empty(): Promise<void> {
  // Not TRUNCATE: it makes new files for every table and index, which costs more than the tests.
  await admin.query(`
    DELETE FROM updates; DELETE FROM assignments; DELETE FROM rounds; DELETE FROM checkpoints;
    DELETE FROM clients; DELETE FROM ledger_events; DELETE FROM runs; DELETE FROM tasks;
    DELETE FROM coordinator_events; DELETE FROM operators`);
}

storeContract('Postgres', async () => {
  await empty();
  return { ...store, close: () => Promise.resolve() };
});

describe('the store in Postgres', () => {
  beforeEach(empty);

  /** Until so many sessions wait for a lock; an error if they don't in a while. */
  async function somebodyWaits(sessions = 1): Promise<void> {
    const patience = Date.now() + 10_000;
    while (Date.now() < patience) {
      const { rowCount } = await admin.query(
        `SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      if ((rowCount ?? 0) >= sessions) return;
    }
    throw new Error(`${sessions} sessions should wait for a lock`);
  }

  /** Runs `sql` in a transaction of another session, and ends it once `work` waits for its locks. */
  async function heldUp<T>(
    sql: string,
    work: () => Promise<T>,
    meanwhile: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<T> {
    const other = await connect();
    try {
      await other.query('BEGIN');
      await other.query(sql);
      const [outcome] = await Promise.all([
        work(),
        somebodyWaits()
          .then(meanwhile)
          .finally(() => other.query('COMMIT')),
      ]);
      return outcome;
    } finally {
      await other.end();
    }
  }

  it('makes a receipt wait for a close that is under way, and then answers late', async () => {
    const [{ id }] = (await startTraining(store, ['anna'])).assignments;
    const close = `UPDATE rounds SET phase = 'aggregating', revision = revision + 1`;
    const receipt = await heldUp(close, () => store.record(id, updateOf('a')));
    expect(receipt.status).toBe('late');
    expect((await store.assignment(id))?.state).toBe('late');
  });

  it('accepts an update whose round moved on without ending the collection', async () => {
    const [{ id }] = (await startTraining(store, ['anna'])).assignments;
    const touch = 'UPDATE rounds SET revision = revision + 1';
    const receipt = await heldUp(touch, () => store.record(id, updateOf('a')));
    expect(receipt.status).toBe('accepted');
  });

  it('answers late where the assignment is dropped while the receipt waits for it', async () => {
    const [{ id }] = (await startTraining(store, ['anna'])).assignments;
    const drop = `UPDATE assignments SET state = 'dropped'`;
    const receipt = await heldUp(drop, () => store.record(id, updateOf('a')));
    expect(receipt.status).toBe('late');
    expect((await store.assignment(id))?.state).toBe('late');
  });

  it('makes a close wait for the receipts that are under way, and not these for it', async () => {
    const { round, assignments } = await startTraining(store, ['anna']);
    const receiptUnderWay = 'SELECT FROM rounds FOR SHARE';
    const closed = await heldUp(
      receiptUnderWay,
      () => store.commit(closeCollection(round), {}),
      async () => {
        const receipt = await store.record(assignments[0].id, updateOf('a'));
        expect(receipt.status).toBe('accepted');
      },
    );
    expect(closed).toBe(true);
  });

  it('says storage_unavailable when the connection is lost, and works again', async () => {
    const { round, assignments } = await startTraining(store, ['anna']);
    const [{ id }] = assignments;
    const outcomes = await heldUp(
      'SELECT FROM rounds FOR UPDATE',
      () =>
        Promise.allSettled([
          store.record(id, updateOf('a')),
          store.commit(closeCollection(round), { events: [eventOf('closed')] }),
        ]),
      async () => {
        await somebodyWaits(2);
        await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'tributary'`,
        );
      },
    );
    const reason = { code: 'storage_unavailable', retryable: true };
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason },
      { status: 'rejected', reason },
    ]);
    for (const outcome of outcomes) expect(outcome).toHaveProperty('reason.cause');
    expect(await onceBack(() => store.record(id, updateOf('a')))).toMatchObject({
      status: 'accepted',
      duplicate: false,
    });
    expect(await onceBack(() => store.commit(closeCollection(round), {}))).toBe(true);
  });

  it('says storage_unavailable where there is no server, and schema_mismatch without tables', async () => {
    const nowhere = new URL(database.url);
    nowhere.port = '1';
    await expect(createPrismaStore({ url: nowhere.href })).rejects.toMatchObject({
      code: 'storage_unavailable',
    });
    const bare = await emptyDatabase();
    try {
      await expect(createPrismaStore({ url: bare.url })).rejects.toMatchObject({
        code: 'schema_mismatch',
      });
    } finally {
      await bare.drop();
    }
  });

  it('names the problem without the source around it', async () => {
    const { round } = await startTraining(store, ['anna']);
    const attempt = store.commit(closeCollection(round), { checkpoint: checkpointOf('r1', 0) });
    await expect(attempt).rejects.toThrow(
      /^cannot commit a round: duplicate key value violates unique constraint "checkpoints_pkey"$/,
    );
  });

  it('fills in what a run of an earlier release does not say, so that it goes on as it began', async () => {
    await createRun(store);
    await admin.query(
      `UPDATE runs SET spec = (spec - 'after' - 'leaseMs' - 'join' - 'keepCheckpoints')
                              #- '{cohort,overSelection}'`,
    );
    const { spec } = (await store.run('r1'))!;
    expect(spec).toMatchObject({
      ...{ after: [], join: 'token', keepCheckpoints: 'all', leaseMs: spec.deadlineMs },
      cohort: { overSelection: 1, size: 'all' },
    });
  });

  it('keeps a ledger in which a row that was changed, or taken out, is found', async () => {
    const waiting = await createRun(store);
    const body = { weights: { anna: 0.1, bert: 1 / 3 }, note: 'ä 数字 😀', list: [1e21, -0.5] };
    const begun = beginRound(waiting);
    const events = ['one', 'two', 'three'].map((type) => ({ at: startedAt, type, body }));
    await store.commit(begun, { events });
    expect(verifyChain(await store.events('r1'))).toBeNull();

    await admin.query(`UPDATE ledger_events SET body = jsonb_set(body, '{weights,anna}', '0.2')
                       WHERE seq = 3`);
    expect(verifyChain(await store.events('r1'))).toEqual({
      seq: 3,
      problem: 'is not what was hashed',
    });
    await admin.query(`UPDATE ledger_events SET body = jsonb_set(body, '{weights,anna}', '0.1')
                       WHERE seq = 3`);
    expect(verifyChain(await store.events('r1'))).toBeNull();
    await admin.query('DELETE FROM ledger_events WHERE seq = 2');
    expect(verifyChain(await store.events('r1'))).toEqual({ seq: 3, problem: 'follows event 1' });
  });

  it('stores times as they are, whatever the options in the URL and the zone of the database', async () => {
    const withOptions = new URL(database.url);
    withOptions.searchParams.set('options', '-c TimeZone=Asia/Kolkata -c work_mem=1MB');
    const second = await createPrismaStore({ url: withOptions.href });
    try {
      await createRun(second, 'r2');
      // In the hour that New York skips in spring, which only an instant can name.
      const skipped = Date.UTC(2026, 2, 8, 7, 30, 0, 123);
      const waiting = await createRun(store);
      const begun = beginRound(waiting, skipped);
      await store.commit(begun, {});
      const { rows } = await admin.query(
        `SELECT run_id, extract(epoch FROM coalesce(deadline, opened_at))::float8 * 1000 AS at
         FROM rounds ORDER BY run_id`,
      );
      expect(rows).toEqual([
        { run_id: 'r1', at: skipped },
        { run_id: 'r2', at: startedAt },
      ]);
      expect((await second.currentRound('r1'))?.deadline).toBe(skipped);
    } finally {
      await second.close();
    }
  });

  it('keeps a ledger that an auditor can follow from psql alone', async () => {
    await createRun(store);
    const { rows } = await admin.query<Record<'members' | 'prev_hash' | 'hash', string>>(
      `SELECT jsonb_build_object('seq', seq, 'at', extract(epoch FROM at) * 1000,
                                 'type', type, 'body', body)::text AS members, prev_hash, hash
       FROM ledger_events`,
    );
    const [{ members, prev_hash: before, hash }] = rows;
    const text = before + canonicalJson(JSON.parse(members));
    expect(createHash('sha256').update(text).digest('hex')).toBe(hash);
  });

  it('shows rounds, receipts and weights in psql', async () => {
    const { round, assignments } = await startTraining(store, ['anna', 'bert', 'cleo', 'dora']);
    const [anna, bert, cleo] = assignments;
    await store.record(anna.id, updateOf('a', { numExamples: 100 }));
    await store.record(bert.id, updateOf('b', { numExamples: 300 }));
    const error = { code: 'not_finite', message: 'NaN', help: '', retryable: false } as const;
    await store.record(cleo.id, updateOf('c', { error }));
    const aggregating = closeCollection(round);
    await store.commit(aggregating, {});
    const closed = step(aggregating, {
      type: 'commit',
      at: startedAt + 9,
      version: 1,
      evaluateUntil: null,
    });
    await store.commit(closed, {
      checkpoint: checkpointOf('r1', 1),
      weights: { [anna.id]: 0.4, [bert.id]: 0.6 },
    });

    const query = async (sql: string): Promise<pg.QueryResultRow[]> =>
      (await admin.query<pg.QueryResultRow>(sql)).rows;
    expect(
      await query(`SELECT run, round, phase, invited::int, accepted::int, rejected::int, version
                   FROM round_summary`),
    ).toEqual([
      {
        run: 'run-r1',
        round: 1,
        phase: 'closed',
        invited: 4,
        accepted: 2,
        rejected: 1,
        version: 1,
      },
    ]);
    expect(await query('SELECT client_id, receipt, error_code FROM receipts')).toEqual([
      { client_id: 'anna', receipt: 'accepted', error_code: null },
      { client_id: 'bert', receipt: 'accepted', error_code: null },
      { client_id: 'cleo', receipt: 'rejected', error_code: 'not_finite' },
      { client_id: 'dora', receipt: null, error_code: null },
    ]);
    expect(await query('SELECT client_id, data_share, weight FROM round_weights')).toEqual([
      { client_id: 'anna', data_share: 0.25, weight: 0.4 },
      { client_id: 'bert', data_share: 0.75, weight: 0.6 },
    ]);
  });

  it('invites, receives and weighs the largest cohort in a few statements', async () => {
    const waiting = await createRun(store);
    const size = 4096;
    await enrol(store, { runId: 'r1', id: 'c0', role: 'source' });
    await admin.query(
      `INSERT INTO clients SELECT 'r1', 'c' || i, 'source', 'token ' || i, now()
       FROM generate_series(1, ${size - 1}) i`,
    );
    const begun = beginRound(waiting);
    const assignments = (await store.clients('r1')).map((client) => assignmentFor(begun, client));
    expect(await store.commit(begun, { assignments })).toBe(true);
    const some = assignments.slice(0, 500);
    const receipts = await Promise.all(some.map(({ id }) => store.record(id, updateOf(id))));
    expect(receipts.every((r) => r.status === 'accepted')).toBe(true);
    const weights = Object.fromEntries(some.map(({ id }, i) => [id, i / 7]));
    expect(await store.commit(closeCollection(begun), { weights })).toBe(true);
    const stored = await store.assignments('r1', 1, 1);
    expect(stored).toHaveLength(size);
    expect(stored.slice(0, 500).map((a) => a.update?.weight)).toEqual(Object.values(weights));
  });
});

/**
 * What callers do with a retryable error. The server ended idle connections too, and the pool may
 * hand out one of which it has not heard that yet: once for each, but never for ever.
 */
async function onceBack<T>(work: () => Promise<T>, tries = 20): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isAway = error instanceof TributaryError && error.code === 'storage_unavailable';
    if (!isAway || tries === 0) throw error;
    return onceBack(work, tries - 1);
  }
}
