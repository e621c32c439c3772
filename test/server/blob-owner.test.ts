/** Folders of blobs belong to one database: another one's coordinator would delete what they hold. */
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blobPath, createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { claimBlobs, identityOf } from '../../server/adapters/blob-owner.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { closeCoordinators, createRun, startCoordinator } from '../e2e/support/coordinator.js';
import { type TestDatabase, testDatabase } from '../support/postgres.js';
import { runSql } from '../support/sql.js';

closeCoordinators('each');

let dataDir: string;
const databases: TestDatabase[] = [];

/** Test databases are copies of one: a database of its own has an identity of its own. */
async function otherDatabase(): Promise<TestDatabase> {
  const database = await testDatabase();
  databases.push(database);
  await runSql(database.url, 'UPDATE _prisma_migrations SET id = gen_random_uuid()');
  return database;
}

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-owner-'));
});
afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
  for (const database of databases.splice(0)) await database.drop();
});

const serve = (database: TestDatabase) =>
  startCoordinator({ databaseUrl: database.url, dataDir, store: undefined, blobs: 'directory' });

describe('a folder of blobs', () => {
  it('is refused to a coordinator on another database, and stays as it is', async () => {
    const [ours, other] = [await otherDatabase(), await otherDatabase()];
    const coordinator = await serve(ours);
    await createRun(coordinator);
    await coordinator.close();
    const before = await readdir(join(dataDir, 'blobs'), { recursive: true });

    await expect(serve(other)).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringMatching(
        /TRIBUTARY_DATA_DIR.*another database.*DATABASE_URL/,
      ) as string,
    });
    expect(await readdir(join(dataDir, 'blobs'), { recursive: true })).toEqual(before);
    await serve(ours);
  });

  it('may be used by all coordinators of one database, at once too', async () => {
    const ours = await otherDatabase();
    await Promise.all([serve(ours), serve(ours)]);
  });

  it('with blobs is no new database’s, until it has a run', async () => {
    const folder = join(dataDir, 'blobs');
    const store = await createDirectoryBlobStore(folder);
    const { sha256 } = await putBlob(store, new TextEncoder().encode('a model'));
    const longAgo = new Date(0);
    await utimes(blobPath(folder, sha256), longAgo, longAgo);
    const identity = await identityOf((await otherDatabase()).url);
    expect(identity.hasRuns).toBe(false);
    await expect(claimBlobs(folder, store, identity)).rejects.toThrow('holds blobs');
    await claimBlobs(folder, store, { ...identity, hasRuns: true });
    await claimBlobs(folder, store, identity);
    await expect(claimBlobs(folder, store, { id: 'x', hasRuns: true })).rejects.toThrow('another');
  });

  it('whose owner is taken away may be claimed anew', async () => {
    const folder = join(dataDir, 'blobs');
    const store = await createDirectoryBlobStore(folder);
    await writeFile(join(folder, 'database'), 'somebody else\n');
    const identity = await identityOf((await otherDatabase()).url);
    await expect(claimBlobs(folder, store, identity)).rejects.toThrow(join(folder, 'database'));
    await rm(join(folder, 'database'));
    await claimBlobs(folder, store, identity);
  });
});
