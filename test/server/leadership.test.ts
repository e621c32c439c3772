/** Who leads, decided by a real database: one at a time, and never nobody for long. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PostgresLeadership } from '../../server/adapters/leadership.js';
import type { Database } from '../support/database.js';
import { eventually, openDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';

const LEASE_MS = 1_000;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

let testing: TestDatabase;
let database: Database;
let all: PostgresLeadership[];
beforeEach(async () => {
  testing = await testDatabase();
  database = await openDatabase(testing.url);
  all = [];
});
afterEach(async () => {
  await Promise.all(all.map((leadership) => leadership.close()));
  await database.close();
  await testing.drop();
});

interface Candidate {
  readonly leadership: PostgresLeadership;
  /** `won 1`, `lost`, in their order. */
  readonly heard: string[];
}

async function candidate(name: string, leaseMs = LEASE_MS): Promise<Candidate> {
  const options = { url: testing.url, leaseMs, address: () => `http://${name}`, log: silent };
  const leadership = new PostgresLeadership(options);
  all.push(leadership);
  const heard: string[] = [];
  await leadership.start({
    won: (epoch) => Promise.resolve(void heard.push(`won ${epoch}`)),
    lost: () => Promise.resolve(void heard.push('lost')),
  });
  return { leadership, heard };
}

function until(what: string, is: () => boolean): Promise<true> {
  return eventually(what, () => Promise.resolve(is() || null), 10_000);
}

function sessionsOf(sql: string, ...values: unknown[]): Promise<{ pid: number }[]> {
  return database.query(
    `SELECT pid${sql} FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'tributary leader'
     ORDER BY backend_start`,
    ...values,
  );
}

describe('leadership', () => {
  it('is with the first; the second stands by and says who leads', async () => {
    const [ada, bob] = [await candidate('ada'), await candidate('bob')];
    expect([ada.heard, bob.heard]).toEqual([['won 1'], []]);
    expect([ada.leadership.epoch(), bob.leadership.epoch()]).toEqual([1, null]);
    expect(ada.leadership.refusal()).toBeNull();
    const refusal = bob.leadership.refusal();
    expect(refusal).toMatchObject({ code: 'standby', details: { leader: 'http://ada' } });
    expect(refusal?.message).toBe('this coordinator stands by: http://ada leads');
    expect(refusal?.retryAfterMs).toBeGreaterThan(0);
  });

  it('stays with its holder for many leases, and with nobody else', async () => {
    const [ada, bob] = [await candidate('ada'), await candidate('bob')];
    const renewed = async (): Promise<string> => {
      const [{ at }] = await database.query<{ at: string }>(
        'SELECT expires_at::text AS at FROM leadership',
      );
      return at;
    };
    const seen = new Set<string>();
    await eventually('ten renewals', async () =>
      seen.add(await renewed()).size > 10 ? true : null,
    );
    expect([ada.heard, bob.heard]).toEqual([['won 1'], []]);
  });

  it('passes on at once where it is released', async () => {
    const [ada, bob] = [await candidate('ada', 60_000), await candidate('bob', 60_000)];
    await ada.leadership.close();
    await until('bob leads', () => bob.heard.length > 0);
    expect(bob.heard).toEqual(['won 2']);
    expect(bob.leadership.epoch()).toBe(2);
  });

  it('is kept by a holder whose session broke and who is back first', async () => {
    const ada = await candidate('ada', 60_000);
    const [{ pid }] = await sessionsOf('');
    await database.query('SELECT pg_terminate_backend($1)', pid);
    await eventually('ada renews from another session', async () => {
      const rows = await database.query<{ pid: number }>(
        'SELECT backend_pid AS pid FROM leadership',
      );
      ada.leadership.addressChanged();
      return rows[0].pid !== pid ? true : null;
    });
    expect(ada.heard).toEqual(['won 1']);
  });

  it('passes on before the lease is over where the session of the holder is gone', async () => {
    // As after kill -9: a row whose session does not exist, and most of a lease left.
    await database.query(
      `INSERT INTO leadership VALUES
         ('coordinator', 'killed', 7, null, 1, now() - interval '1 h', now() + interval '1 h')`,
    );
    const bob = await candidate('bob', 60_000);
    expect(bob.heard).toEqual(['won 8']);
  });

  it('is given up without an answer of the database when the lease runs out', async () => {
    const ada = await candidate('ada');
    const bob = await candidate('bob');
    // Both wait for this lock: ada cannot renew, bob cannot take over.
    await database.query('BEGIN');
    await database.query('LOCK TABLE leadership IN ACCESS EXCLUSIVE MODE');
    await until('ada gives up', () => ada.heard.includes('lost'));
    expect(ada.leadership.epoch()).toBeNull();
    expect(ada.leadership.refusal()).toMatchObject({ code: 'standby' });
    await database.query('ROLLBACK');
    await until('one of them leads', () => [...ada.heard, ...bob.heard].includes('won 2'));
    expect([ada.leadership.epoch(), bob.leadership.epoch()].sort()).toEqual([2, null]);
  });

  it('is lost by the word of the store, where another epoch is in the database', async () => {
    const ada = await candidate('ada', 60_000);
    await database.query(
      `UPDATE leadership SET holder = 'bob', epoch = 2, expires_at = now() + interval '1 h',
         backend_pid = pg_backend_pid(),
         backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())`,
    );
    expect(ada.leadership.epoch()).toBe(1);
    ada.leadership.refused(1);
    await until('ada stands by', () => ada.heard.includes('lost'));
    expect(ada.leadership.epoch()).toBeNull();
    ada.leadership.refused(1);
    expect(ada.heard).toEqual(['won 1', 'lost']);
  });
});
