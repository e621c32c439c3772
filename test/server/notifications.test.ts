/** Changes made known from one coordinator to another, over a real database. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  PostgresNotifications,
  inProcessNotifications,
} from '../../server/adapters/notifications.js';
import type { Change, Notifications } from '../../server/core/ports.js';
import type { Database } from '../support/database.js';
import { eventually, openDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const change: Change = { kind: 'client', runId: 'r1', clientId: 'ada "ä"' };
const anything: Change = { kind: 'anything' };

let testing: TestDatabase;
let database: Database;
let all: PostgresNotifications[];
beforeEach(async () => {
  testing = await testDatabase();
  database = await openDatabase(testing.url);
  all = [];
});
afterEach(async () => {
  await Promise.all(all.map((notifications) => notifications.close()));
  await database.close();
  await testing.drop();
});

async function listening(): Promise<{ notifications: Notifications; heard: Change[] }> {
  const notifications = await PostgresNotifications.open({ url: testing.url, log: silent });
  all.push(notifications);
  const heard: Change[] = [];
  notifications.onChange((each) => heard.push(each));
  return { notifications, heard };
}

function until(what: string, is: () => boolean): Promise<true> {
  return eventually(what, () => Promise.resolve(is() || null), 10_000);
}

function endSessions(): Promise<object[]> {
  return database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'tributary listener'`,
  );
}

describe('notifications', () => {
  it('reach everybody once, whoever published them at once', async () => {
    const [ada, bob] = [await listening(), await listening()];
    const published = ada.notifications.publish(change);
    expect(ada.heard).toEqual([change]);
    await published;
    await until('bob hears of it', () => bob.heard.length > 0);
    const last: Change = { kind: 'run', runId: 'r2' };
    await bob.notifications.publish(last);
    await until('ada hears of it', () => ada.heard.length > 1);
    expect([ada.heard, bob.heard]).toEqual([
      [change, last],
      [change, last],
    ]);
  });

  it('that were missed become a look at everything', async () => {
    const [ada, bob] = [await listening(), await listening()];
    await endSessions();
    await ada.notifications.publish(change);
    await until('both are back', () =>
      [ada, bob].every(({ heard }) => heard.some(({ kind }) => kind === 'anything')),
    );
    expect(bob.heard.every(({ kind }) => kind === 'anything' || kind === 'client')).toBe(true);
  });

  it('that nobody understands are passed over', async () => {
    const ada = await listening();
    for (const payload of ['', 'not json', '{"from":"x"}', '{"from":"x","change":{"kind":"no"}}']) {
      await database.query('SELECT pg_notify($1, $2)', 'tributary', payload);
    }
    const good = JSON.stringify({ from: 'elsewhere', change });
    await database.query('SELECT pg_notify($1, $2)', 'tributary', good);
    await until('the good one', () => ada.heard.length > 0);
    expect(ada.heard).toEqual([change]);
  });

  it('end with the listener that is taken away, in one process too', async () => {
    const notifications = inProcessNotifications();
    const heard: Change[] = [];
    const stop = notifications.onChange((each) => heard.push(each));
    await notifications.publish(change);
    stop();
    await notifications.publish(anything);
    expect(heard).toEqual([change]);
  });
});
