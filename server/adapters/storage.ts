/** Where a coordinator keeps things: the database, started and migrated, and the blobs beside it. */
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { BlobStore, Store } from '../core/ports.js';
import type { Log } from '../engine/engine.js';
import type { BlobLocation } from './aggregation/services.js';
import { createDirectoryBlobStore } from './blob-directory.js';
import { createPostgresBlobStore } from './blob-postgres.js';
import type { Closers } from './closers.js';
import { startEmbeddedPostgres } from './postgres/embedded.js';
import { migrate } from './postgres/migrator.js';
import { createPrismaStore } from './prisma-store.js';

export interface StorageOptions {
  readonly dataDir: string;
  /** null starts the embedded server in the data directory. */
  readonly databaseUrl: string | null;
  /** A store that somebody else opened and will close. */
  readonly store?: Store;
  readonly blobs: 'directory' | 'postgres' | BlobStore;
  readonly log: Log;
}

export interface Storage {
  readonly store: Store;
  readonly blobs: BlobStore;
  /** Where other threads find the same blobs; null where only this one has them. */
  readonly blobsAt: BlobLocation | null;
}

/**
 * Opens the storage; what has to be closed again is told to `closers`.
 *
 * @throws TributaryError `storage_unavailable`, `schema_mismatch`, `bad_request`.
 */
export async function openStorage(options: StorageOptions, closers: Closers): Promise<Storage> {
  const { store, blobs } = options;
  if (!store) return openDatabase(options, closers);
  if (typeof blobs === 'object') return { store, blobs, blobsAt: null };
  const message = 'blobs: a store of your own needs a blob store of your own beside it';
  throw new TributaryError('bad_request', message);
}

async function openDatabase(options: StorageOptions, closers: Closers): Promise<Storage> {
  const url = options.databaseUrl ?? (await embeddedDatabase(options, closers));
  const { applied } = await migrate(url);
  if (applied.length > 0) options.log.info({ applied }, 'database migrated');
  const store = await createPrismaStore({ url });
  closers.add('store', () => store.close());
  return { store, ...(await openBlobs(url, options, closers)) };
}

async function openBlobs(
  url: string,
  { blobs, dataDir }: StorageOptions,
  closers: Closers,
): Promise<Omit<Storage, 'store'>> {
  if (typeof blobs === 'object') return { blobs, blobsAt: null };
  if (blobs === 'directory') {
    const folder = join(dataDir, 'blobs');
    const blobsAt = { kind: 'directory', folder } as const;
    return { blobs: await createDirectoryBlobStore(folder), blobsAt };
  }
  const at = { url, spoolDir: join(dataDir, 'spool') };
  const shared = await createPostgresBlobStore(at);
  closers.add('blobs', () => shared.close());
  return { blobs: shared, blobsAt: { kind: 'postgres', ...at } };
}

async function embeddedDatabase(
  { dataDir, log }: StorageOptions,
  closers: Closers,
): Promise<string> {
  const postgres = await startEmbeddedPostgres({
    dataDir: join(dataDir, 'postgres'),
    log: (message) => log.info({}, message),
  });
  closers.add('embedded database', () => postgres.stop());
  return postgres.url;
}
