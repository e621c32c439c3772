/**
 * Blobs in Postgres, in chunks of 1 MiB, for coordinators that share no disk. Uploads arrive in a
 * spool on the local disk; a commit copies one into the database chunk by chunk, so that memory
 * stays flat whatever the model's size.
 *
 * Through pg and not Prisma, which would pass bytes as base64 inside JSON. (pg's own option for
 * binary results corrupts bytes: as of 8.23 it reads every value as UTF-8. Base64 is read at half
 * the cost of its default, hexadecimal.)
 */
import { rm } from 'node:fs/promises';
import pg from 'pg';
import type { Blob, BlobStore, StagedBlob } from '../core/ports.js';
import {
  damaged,
  isSha256,
  missingBlob,
  onStorage,
  ranges,
  readFileInto,
  settledOnce,
} from './blob-files.js';
import { chunkBytes, storeFile } from './blob-postgres/chunks.js';
import { deleteBlob, listBlobs } from './blob-postgres/ages.js';
import { sessionPool } from './postgres-session.js';
import { openSpool, type SpooledFile } from './spool.js';

const WHERE = 'the table "blobs"';
/** Chunks that one query returns: bounds what a large read needs beside its result. */
const chunksAtOnce = 4;

export interface PostgresBlobOptions {
  /** A database with the migrations applied. */
  readonly url: string;
  /** A local directory for uploads that are not committed yet. */
  readonly spoolDir: string;
  /** Most connections of this process for blobs. */
  readonly connections?: number;
}

/** @throws TributaryError `storage_unavailable` where the spool cannot be made. */
export async function createPostgresBlobStore({
  url,
  spoolDir,
  connections = 4,
}: PostgresBlobOptions): Promise<BlobStore & { close(): Promise<void> }> {
  const spool = await openSpool(spoolDir);
  const pool = new pg.Pool(sessionPool(url, connections, 'tributary blobs'));
  // An idle connection that breaks would end the process; the next query gets another one.
  pool.on('error', () => undefined);
  return {
    stage: async (source, maxBytes) => stagedBlob(pool, await spool.receive(source, maxBytes)),
    open: (sha256) => openBlob(pool, sha256),
    delete: async (sha256, storedBefore) => {
      if (!isSha256(sha256)) return;
      await onStorage(`delete blob ${sha256}`, () => deleteBlob(pool, sha256, storedBefore));
    },
    list: () => listBlobs(pool),
    tidy: () => spool.tidy(),
    close: () => pool.end(),
  };
}

function stagedBlob(pool: pg.Pool, file: SpooledFile): StagedBlob {
  const { path, sha256, bytes } = file;
  const removeSpooled = (): Promise<void> => rm(path, { force: true });
  let committed = false;
  return settledOnce({
    sha256,
    bytes,
    get where() {
      return committed ? WHERE : path;
    },
    ...ranges(bytes, (start, out) =>
      committed ? readChunks(pool, sha256, start, out) : readFileInto(path, start, out),
    ),
    commit: () =>
      onStorage(`commit blob ${sha256}`, async () => {
        await transaction(pool, (client) => storeFile(client, file));
        committed = true;
        // It is durable in the database: a spool that cannot be tidied must not undo that.
        await removeSpooled().catch(() => undefined);
      }),
    discard: () => onStorage('discard an upload', removeSpooled),
  });
}

async function openBlob(pool: pg.Pool, sha256: string): Promise<Blob> {
  if (!isSha256(sha256)) throw missingBlob(sha256, WHERE);
  const bytes = await onStorage(`open blob ${sha256}`, () => storedSize(pool, sha256));
  if (bytes === null) throw missingBlob(sha256, WHERE);
  const read = (start: number, out: Uint8Array): Promise<void> =>
    readChunks(pool, sha256, start, out);
  return { sha256, bytes, where: WHERE, ...ranges(bytes, read) };
}

/**
 * Bytes of a blob; null where it is missing. Counts its chunks without reading them.
 *
 * @throws TributaryError `blob_damaged` where chunks are missing.
 */
async function storedSize(db: pg.Pool, sha256: string): Promise<number | null> {
  const { rows } = await db.query<{ bytes: string; present: string }>(
    `SELECT bytes, (SELECT coalesce(sum(length(c.data)), 0) FROM blob_chunks c
                    WHERE c.sha256 = b.sha256) AS present
     FROM blobs b WHERE sha256 = $1`,
    [sha256],
  );
  const row = rows.at(0);
  if (!row) return null;
  if (row.bytes !== row.present) {
    throw damaged(`blob ${sha256} has ${row.present} of ${row.bytes} bytes in ${WHERE}`);
  }
  return Number(row.bytes);
}

async function readChunks(
  pool: pg.Pool,
  sha256: string,
  start: number,
  out: Uint8Array,
): Promise<void> {
  return onStorage(`read blob ${sha256}`, async () => {
    let filled = 0;
    while (filled < out.byteLength) {
      const from = start + filled;
      const lastChunk = Math.floor(from / chunkBytes) + chunksAtOnce - 1;
      const to = Math.min(start + out.byteLength, (lastChunk + 1) * chunkBytes);
      for (const part of await readParts(pool, sha256, from, to)) {
        out.set(part, filled);
        filled += part.byteLength;
      }
      if (filled < to - start) throw missingBlob(sha256, WHERE);
    }
  });
}

/** The pieces of bytes `from` up to `to`, in order: of each chunk only what is asked for. */
async function readParts(
  pool: pg.Pool,
  sha256: string,
  from: number,
  to: number,
): Promise<Buffer[]> {
  const text = `
    SELECT encode(substring(data FROM first + 1 FOR last - first), 'base64') AS part
    FROM (
      SELECT index, data,
             greatest($2::bigint - index::bigint * ${chunkBytes}, 0)::int AS first,
             least($3::bigint - index::bigint * ${chunkBytes}, ${chunkBytes})::int AS last
      FROM blob_chunks
      WHERE sha256 = $1
        AND index BETWEEN $2::bigint / ${chunkBytes} AND ($3::bigint - 1) / ${chunkBytes}
    ) AS wanted
    ORDER BY index`;
  const { rows } = await pool.query<{ part: string }>(text, [sha256, from, to]);
  return rows.map(({ part }) => Buffer.from(part, 'base64'));
}

async function transaction(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  // A connection that breaks between two queries would end the process; the next query fails.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  let failure: unknown;
  try {
    await client.query('BEGIN');
    await work(client);
    await client.query('COMMIT');
  } catch (error) {
    failure = error;
    await client.query('ROLLBACK').then(
      () => (failure = undefined),
      () => undefined,
    );
    throw error;
  } finally {
    client.removeListener('error', ignore);
    // One that could not roll back is closed, which rolls back.
    client.release(failure !== undefined);
  }
}
