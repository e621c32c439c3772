/**
 * Which database a folder of blobs belongs to. Blobs that no row names are deleted after a day
 * (engine/retention.ts): a coordinator that is started on another database, or without its
 * DATABASE_URL on a new one, would find every model of the right one to be such a blob.
 */
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { BlobStore } from '../core/ports.js';
import { onStorage } from './blob-files.js';
import { connectionTimeoutMs, openSession } from './postgres-session.js';
import { keptSecret } from './secret-file.js';

export interface DatabaseIdentity {
  /** Made with the database; one that is restored from a backup has it again. */
  readonly id: string;
  /** Without a run, no row names a blob. */
  readonly hasRuns: boolean;
}

/** Of a database with the migrations applied. */
export async function identityOf(url: string): Promise<DatabaseIdentity> {
  return onStorage('ask which database this is', async () => {
    const client = await openSession(url, 'tributary', connectionTimeoutMs);
    try {
      const { rows } = await client.query<DatabaseIdentity>(
        `SELECT id, EXISTS (SELECT FROM runs) AS "hasRuns" FROM _prisma_migrations
         WHERE rolled_back_at IS NULL ORDER BY started_at, migration_name LIMIT 1`,
      );
      return rows[0];
    } finally {
      await client.end().catch(() => undefined);
    }
  });
}

/**
 * Makes the folder that of this database, for good. All coordinators of the database may use it.
 *
 * @throws TributaryError `bad_request` where it is another's, or must be; `storage_unavailable`.
 */
export async function claimBlobs(
  folder: string,
  blobs: Pick<BlobStore, 'list'>,
  { id, hasRuns }: DatabaseIdentity,
): Promise<void> {
  const path = join(folder, 'database');
  const claim = async (): Promise<string> => {
    if (hasRuns || !(await hasAny(blobs))) return id;
    throw refusal(`${folder} holds blobs, and the database has no run that could need them`);
  };
  const owner = await onStorage(`read ${path}`, () => keptSecret(path, claim));
  if (owner.trim() === id) return;
  const cure = `; where they are this one's after all, delete ${path}`;
  throw refusal(`${folder} holds the blobs of another database`, cure);
}

async function hasAny(blobs: Pick<BlobStore, 'list'>): Promise<boolean> {
  const first = await blobs.list()[Symbol.asyncIterator]().next();
  return first.done !== true;
}

function refusal(what: string, cure = ''): TributaryError {
  const message =
    `TRIBUTARY_DATA_DIR: ${what}, and blobs that no run needs are deleted: name the database ` +
    `that they belong to (DATABASE_URL), or another folder${cure}`;
  return new TributaryError('bad_request', message, { variable: 'TRIBUTARY_DATA_DIR' });
}
