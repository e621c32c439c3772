import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPostgresBlobStore } from '../../server/adapters/blob-postgres.js';
import { type TestDatabase, testDatabase } from '../support/postgres.js';
import { arriving, blobStoreContract, MiB, someBytes, store } from './blob-store.contract.js';

let database: TestDatabase;
let spoolDir: string;
let admin: pg.Client;
let blobs: Awaited<ReturnType<typeof createPostgresBlobStore>>;

beforeAll(async () => {
  database = await testDatabase();
  spoolDir = await mkdtemp(join(tmpdir(), 'tributary-spool-'));
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  blobs = await createPostgresBlobStore({ url: database.url, spoolDir });
});
afterAll(async () => {
  await blobs.close();
  await admin.end();
  await database.drop();
  await rm(spoolDir, { recursive: true, force: true });
});

blobStoreContract('Postgres', () => blobs);

describe('the blob store in Postgres', () => {
  it('keeps chunks of 1 MiB as they are, so that a range touches only its pages', async () => {
    const sha256 = await store(blobs, someBytes(2 * MiB + 10, 21));
    const { rows } = await admin.query(
      'SELECT index, length(data) AS bytes FROM blob_chunks WHERE sha256 = $1 ORDER BY index',
      [sha256],
    );
    expect(rows).toEqual([
      { index: 0, bytes: MiB },
      { index: 1, bytes: MiB },
      { index: 2, bytes: 10 },
    ]);
    const storage = await admin.query(
      `SELECT attstorage FROM pg_attribute
       WHERE attrelid = 'blob_chunks'::regclass AND attname = 'data'`,
    );
    expect(storage.rows).toEqual([{ attstorage: 'e' }]);
  });

  it('leaves nothing in the spool', async () => {
    const bytes = someBytes(3000, 22);
    await (await blobs.stage(arriving(bytes), MiB)).discard();
    await store(blobs, bytes);
    await store(blobs, bytes);
    await expect(blobs.stage(arriving(bytes), 10)).rejects.toMatchObject({ code: 'too_large' });
    expect(await readdir(spoolDir)).toEqual([]);
  });

  it('notices a blob of which a chunk is missing', async () => {
    const bytes = someBytes(2 * MiB, 23);
    const sha256 = await store(blobs, bytes);
    const opened = await blobs.open(sha256);
    await admin.query('DELETE FROM blob_chunks WHERE sha256 = $1 AND index = 0', [sha256]);
    const attempts = [blobs.open(sha256), opened.read(0, 100), opened.read(0, 2 * MiB)];
    await expectRefused(attempts, 'blob_damaged');
    expect(await opened.read(2 * MiB - 5, 5)).toEqual(bytes.slice(-5));
  });

  it('makes a damaged blob whole when its content is stored again', async () => {
    const bytes = someBytes(3 * MiB + 5, 26);
    const sha256 = await store(blobs, bytes);
    const change = (sql: string): Promise<unknown> => admin.query(sql, [sha256]);
    await change('DELETE FROM blob_chunks WHERE sha256 = $1 AND index = 1');
    await change(`UPDATE blob_chunks SET data = '\\x00' WHERE sha256 = $1 AND index = 3`);
    await change(`UPDATE blob_chunks SET data = set_byte(data, 77, get_byte(data, 77) # 1)
                  WHERE sha256 = $1 AND index = 2`);
    await change(`INSERT INTO blob_chunks VALUES ($1, 4, '\\x01')`);
    await change('UPDATE blobs SET bytes = 1 WHERE sha256 = $1');
    await store(blobs, bytes);
    const blob = await blobs.open(sha256);
    expect(Buffer.compare(await blob.read(0, bytes.length), bytes)).toBe(0);
  });

  it('says storage_unavailable when the connection is lost, and the commit can be tried again', async () => {
    const bytes = someBytes(3 * MiB, 24);
    const staged = await blobs.stage(arriving(bytes), 4 * MiB);
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    await other.query('BEGIN');
    await other.query('LOCK TABLE blob_chunks');
    const lost = expect(staged.commit()).rejects.toMatchObject({
      code: 'storage_unavailable',
      retryable: true,
    });
    await terminateWaiting();
    await other.query('COMMIT');
    await other.end();
    await lost;
    await expect(blobs.open(staged.sha256)).rejects.toMatchObject({ message: /is missing/ });
    await staged.commit();
    const blob = await blobs.open(staged.sha256);
    expect(Buffer.compare(await blob.read(0, bytes.length), bytes)).toBe(0);
  });

  it('says storage_unavailable where there is no server', async () => {
    const nowhere = new URL(database.url);
    nowhere.port = '1';
    const lost = await createPostgresBlobStore({ url: nowhere.href, spoolDir });
    const staged = await lost.stage(arriving(someBytes(10)), MiB);
    const { sha256 } = staged;
    const attempts = [staged.commit(), lost.open(sha256), lost.delete(sha256)];
    await expectRefused(attempts, 'storage_unavailable');
    await staged.discard();
    await lost.close();
    expect(await readdir(spoolDir)).toEqual([]);
  });

  async function expectRefused(attempts: readonly Promise<unknown>[], code: string): Promise<void> {
    for (const outcome of await Promise.allSettled(attempts)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code, retryable: true } });
    }
  }

  /** Ends the session of the blob store that waits for a lock, once there is one. */
  async function terminateWaiting(): Promise<void> {
    const patience = Date.now() + 10_000;
    while (Date.now() < patience) {
      const { rowCount } = await admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'tributary blobs'
           AND wait_event_type = 'Lock'`,
      );
      if (rowCount) return;
    }
    throw new Error('no session waits for a lock');
  }
});
