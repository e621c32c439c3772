/** The ledger of a coordinator on a real database, and what an auditor finds after psql was in it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPrismaStore } from '../../server/adapters/prisma-store.js';
import { ledgerKeyOf, ledgerKeyPath, loadLedgerKey } from '../../server/adapters/ledger-key.js';
import type { Coordinator } from '../../server/app.js';
import { connectApi } from '../../server/cli/api.js';
import { exportLedger } from '../../server/cli/ledger/export.js';
import { wholeLedger } from '../../server/cli/ledger/source.js';
import { type Verdict, type VerifyOptions, verified } from '../../server/cli/ledger/verify.js';
import type { Store } from '../../server/core/ports.js';
import { type Database, openDatabase } from '../support/database.js';
import { type TestDatabase, testDatabase } from '../support/postgres.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  request,
  startCoordinator,
} from './support/coordinator.js';

closeCoordinators('all');

let database: TestDatabase;
let sql: Database;
let store: Store;
let coordinator: Coordinator;
let runId: string;
let publicKey: string;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  sql = await openDatabase(database.url);
  folder = mkdtempSync(join(tmpdir(), 'tributary-ledger-'));
  const key = await loadLedgerKey(null, folder);
  publicKey = key.shown.publicKey;
  store = await createPrismaStore({ url: database.url, sign: key.sign });
  coordinator = await startCoordinator({ store, ledgerKey: ledgerKeyPath(folder) });
  runId = (await createRun(coordinator)).id;
  for (const name of ['anna', 'bert', 'cleo']) await enrol(coordinator, runId, name);
  await store.appendCoordinatorEvents([
    { at: Date.now(), type: 'tested', body: { by: 'anna' } },
    { at: Date.now(), type: 'tested', body: { by: 'bert' } },
  ]);
});
afterAll(async () => {
  await coordinator.close();
  await store.close();
  await sql.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

function verify(
  options: Partial<VerifyOptions> = {},
  run: string | null = runId,
): Promise<Verdict> {
  return verified(run, { url: coordinator.url, token: OPERATOR, key: [publicKey], ...options });
}

describe('the ledger of a run', () => {
  it('is signed with the key that anybody may ask for', async () => {
    const answer = await request(coordinator, '/v1/ledger-key', null);
    expect(await answer.json()).toEqual(
      ledgerKeyOf(readFileSync(ledgerKeyPath(folder), 'utf8')).shown,
    );
    const verdict = await verify();
    expect(verdict).toMatchObject({
      broken: null,
      unsigned: 0,
      keysFrom: 'given',
      head: { seq: 4 },
    });
    expect(await verify({ key: [] })).toMatchObject({ broken: null, keysFrom: 'coordinator' });
  });

  it.each([
    ['a digit of its time', "at = at + interval '1 millisecond'"],
    ['a letter of its type', `type = 'client-enrolleD'`],
    ['a letter of its body', `body = jsonb_set(body, '{client}', '"bent"')`],
    ['a member of its body', `body = body || '{"x": null}'`],
    [
      'a digit of its hash',
      `hash = translate(left(hash, 1), '0123456789abcdef', '123456789abcdef0') || substr(hash, 2)`,
    ],
    [
      'a digit of the hash before',
      `prev_hash = translate(left(prev_hash, 1), '0123456789abcdef', '123456789abcdef0') || substr(prev_hash, 2)`,
    ],
    [
      'a digit of its signature',
      `signature = substr(signature, 1, 84) || CASE substr(signature, 85, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(signature, 86)`,
    ],
    ['the spelling of its signature', `signature = rtrim(signature, '=')`],
    ['the name of its key', `key_id = reverse(key_id)`],
    ['the signature, taken away', 'signature = NULL, key_id = NULL'],
    ['its number', 'seq = 9'],
  ])('shows %s, altered in the database', async (_, change) => {
    const copy =
      'CREATE TEMP TABLE kept AS SELECT * FROM ledger_events WHERE run_id = $1 AND seq = 3';
    await sql.query(copy.replace('$1', `'${runId}'`));
    await sql.query(`UPDATE ledger_events SET ${change} WHERE run_id = $1 AND seq = 3`, runId);
    const { broken } = await verify();
    await sql.query('DELETE FROM ledger_events WHERE run_id = $1 AND seq IN (3, 9)', runId);
    await sql.query('INSERT INTO ledger_events SELECT * FROM kept');
    await sql.query('DROP TABLE kept');
    expect(broken?.seq).toBe(change === 'seq = 9' ? 4 : 3);
    expect((await verify()).broken).toBeNull();
  });

  it('shows an end that was cut off to whoever noted the head', async () => {
    const { head } = await verify();
    const noted = `${head.seq}:${head.hash}`;
    expect((await verify({ head: noted })).broken).toBeNull();
    await enrol(coordinator, runId, 'dora');
    expect((await verify({ head: noted })).broken).toBeNull();
    await sql.query('DELETE FROM ledger_events WHERE run_id = $1 AND seq >= 4', runId);
    expect((await verify()).broken).toBeNull();
    expect((await verify({ head: noted })).broken).toMatchObject({ seq: 4 });
    await enrol(coordinator, runId, 'emil');
    expect((await verify({ head: noted })).broken).toMatchObject({ seq: 4 });
  });

  it('is exported for somebody who has no coordinator', async () => {
    const out = join(folder, 'run.jsonl');
    const count = await exportLedger(connectApi(coordinator.url, OPERATOR), runId, out);
    const verdict = await verified(null, {
      url: 'http://127.0.0.1:1',
      key: [publicKey],
      file: out,
    });
    expect(verdict).toMatchObject({ run: runId, broken: null, head: { seq: count } });
  });

  it('is given out in pages, and to operators only', async () => {
    const seqs = async (query: string): Promise<number[]> => {
      const answer = await request(coordinator, `/v1/runs/${runId}/events${query}`, OPERATOR);
      return ((await answer.json()) as { events: { seq: number }[] }).events.map(({ seq }) => seq);
    };
    expect(await seqs('')).toEqual([1, 2, 3, 4]);
    expect(await seqs('?from=2&limit=2')).toEqual([2, 3]);
    expect(await seqs('?limit=1')).toEqual([1]);
    expect(await seqs('?from=9')).toEqual([]);
    const odd = await request(coordinator, `/v1/runs/${runId}/events?from=-1`, OPERATOR);
    expect(await errorOf(odd)).toMatchObject({ code: 'bad_request' });
    for (const path of [`/v1/runs/${runId}/events`, '/v1/events']) {
      expect((await request(coordinator, path, null)).status).toBe(401);
    }
  });
});

describe('a ledger of any length', () => {
  it('is never given out whole at once, and read whole all the same', async () => {
    const { id } = await createRun(coordinator);
    const events = Array.from({ length: 240 }, (_, i) => ({ at: 0, type: 'tested', body: { i } }));
    await store.append(id, events);
    for (const query of ['', '?limit=1000']) {
      const answer = await request(coordinator, `/v1/runs/${id}/events${query}`, OPERATOR);
      expect(((await answer.json()) as { events: unknown[] }).events).toHaveLength(100);
    }
    const all = await wholeLedger(connectApi(coordinator.url, OPERATOR), id);
    expect(all.map(({ seq }) => seq)).toEqual(Array.from({ length: 241 }, (_, i) => i + 1));
  });
});

describe('the ledger of the coordinator', () => {
  it('is verified like that of a run', async () => {
    const whole = await verify({ coordinator: true }, null);
    expect(whole).toMatchObject({ run: null, broken: null, keysFrom: 'given' });
    expect(whole.head.seq).toBeGreaterThanOrEqual(2);
    await sql.query(`UPDATE coordinator_events SET body = '{"by": "bart"}'
                     WHERE type = 'tested' AND body ->> 'by' = 'bert'`);
    expect((await verify({ coordinator: true }, null)).broken).toMatchObject({
      seq: whole.head.seq,
    });
  });

  it('is not mistaken for that of a run', async () => {
    await expect(verify({ coordinator: true })).rejects.toMatchObject({ code: 'bad_request' });
    await expect(verify({}, null)).rejects.toMatchObject({ code: 'bad_request' });
  });
});
