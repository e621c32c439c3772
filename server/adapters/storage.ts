/** Where a coordinator keeps things: the database, started and migrated, and the blobs beside it. */
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { BlobStore, Notifications, Store } from '../core/ports.js';
import type { Log } from '../engine/engine.js';
import type { BlobLocation } from './aggregation/services.js';
import { createDirectoryBlobStore } from './blob-directory.js';
import { claimBlobs, identityOf } from './blob-owner.js';
import { createPostgresBlobStore } from './blob-postgres.js';
import type { Closers } from './closers.js';
import type { Sign } from './ledger-chain.js';
import type { Leadership } from './leadership.js';
import { PostgresLeadership, soleLeadership } from './leadership.js';
import { PostgresNotifications, inProcessNotifications } from './notifications.js';
import { noticesWhoIsGone } from './postgres-session.js';
import { startEmbeddedPostgres } from './postgres/embedded.js';
import { migrate } from './postgres/migrator.js';
import { createPrismaStore } from './prisma-store.js';
import { limited } from './storage-limit.js';
import { StorageRoom } from './storage-room.js';

export interface StorageOptions {
  readonly dataDir: string;
  /** null starts the embedded server in the data directory. */
  readonly databaseUrl: string | null;
  /** A store that somebody else opened and will close. */
  readonly store?: Store;
  readonly blobs: 'directory' | 'postgres' | BlobStore;
  /** Bytes that blobs and uploads may take; null for no limit but the disk's. */
  readonly storageLimitBytes: number | null;
  /** Signs the ledgers' events; a store that somebody else opened signs for itself, or not. */
  readonly sign?: Sign | undefined;
  /** How long a leader that is not heard of leads on; see leadership.ts. */
  readonly leaseMs: number;
  /** Where this coordinator is reached; null while that is not known. */
  readonly address: () => string | null;
  readonly log: Log;
}

export interface Storage {
  readonly store: Store;
  readonly blobs: BlobStore;
  /** The same, for what clients and operators upload: refused earlier where there is a limit. */
  readonly uploads: BlobStore;
  /** What is taken, and what is left. */
  readonly room: StorageRoom;
  /** Where other threads find the same blobs; null where only this one has them. */
  readonly blobsAt: BlobLocation | null;
  /** Which of the coordinators on this store leads. Closed with the store. */
  readonly leadership: Leadership;
  readonly notifications: Notifications;
}

/** What a coordinator that was killed was storing is given up within that time. */
const GONE_MS = 1_000;

/**
 * Opens the storage; what has to be closed again is told to `closers`.
 *
 * @throws TributaryError `storage_unavailable`, `schema_mismatch`, `bad_request`.
 */
export async function openStorage(options: StorageOptions, closers: Closers): Promise<Storage> {
  const { store, blobs } = options;
  if (!store) return openDatabase(options, closers);
  if (typeof blobs === 'object') {
    const alone = { leadership: soleLeadership, notifications: inProcessNotifications() };
    return { store, ...(await withRoom({ blobs, blobsAt: null }, options, closers)), ...alone };
  }
  const message = 'blobs: a store of your own needs a blob store of your own beside it';
  throw new TributaryError('bad_request', message);
}

async function openDatabase(options: StorageOptions, closers: Closers): Promise<Storage> {
  const url = options.databaseUrl ?? (await embeddedDatabase(options, closers));
  const { applied } = await migrate(url);
  if (applied.length > 0) options.log.info({ applied }, 'database migrated');
  const { leaseMs, sign, log } = options;
  const leadership = new PostgresLeadership({ ...options, url });
  const goneMs = (await noticesWhoIsGone(url)) ? GONE_MS : undefined;
  const fenced = { fence: leadership, limits: { idleInTransactionMs: leaseMs, goneMs } };
  const store = await createPrismaStore({ url, sign, ...fenced });
  closers.add('store', () => store.close());
  const notifications = await PostgresNotifications.open({ url, log });
  closers.add('notifications', () => notifications.close());
  closers.add('leadership', () => leadership.close());
  const opened = await openBlobs(url, options, closers);
  const blobs = await withRoom(opened, options, closers);
  return { store, ...blobs, leadership, notifications };
}

type OpenedBlobs = Pick<Storage, 'blobs' | 'blobsAt'>;

/** How often it is counted anew what the storage holds: other processes store and delete too. */
const RECOUNT_MS = 600_000;

async function withRoom(
  { blobs, blobsAt }: OpenedBlobs,
  { storageLimitBytes, log }: StorageOptions,
  closers: Closers,
): Promise<OpenedBlobs & Pick<Storage, 'uploads' | 'room'>> {
  const room = new StorageRoom(storageLimitBytes ?? Infinity);
  await room.recount(blobs);
  const recount = (): void => {
    room.recount(blobs).catch((err: unknown) => log.warn({ err }, 'cannot count what is stored'));
  };
  const timer = room.isLimited ? setInterval(recount, RECOUNT_MS).unref() : undefined;
  closers.add('count of what is stored', () => {
    clearInterval(timer);
    return Promise.resolve();
  });
  return {
    blobs: limited(blobs, room, 'coordinator'),
    uploads: limited(blobs, room, 'clients'),
    room,
    blobsAt: blobsAt && { ...blobsAt, room: room.shared },
  };
}

async function openBlobs(
  url: string,
  { blobs, dataDir }: StorageOptions,
  closers: Closers,
): Promise<OpenedBlobs> {
  if (typeof blobs === 'object') return { blobs, blobsAt: null };
  if (blobs === 'directory') {
    const folder = join(dataDir, 'blobs');
    const blobsAt = { kind: 'directory', folder } as const;
    const store = await createDirectoryBlobStore(folder);
    await claimBlobs(folder, store, await identityOf(url));
    return { blobs: store, blobsAt };
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
    keepRunning: {
      wanted: () => !closers.closing,
      warn: (message) => log.warn({}, message),
    },
  });
  closers.add('embedded database', () => postgres.stop());
  return postgres.url;
}
