/** A spooled file on its way into the database, in chunks of 1 MiB. */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type pg from 'pg';
import { readFully } from '../blob-files.js';
import type { SpooledFile } from '../spool.js';

export const chunkBytes = 1024 * 1024;

/**
 * Within a transaction. Content that is there already becomes young again, and whole where it was
 * damaged: chunks that are missing or have other bytes are replaced.
 */
export async function storeFile(client: pg.PoolClient, spooled: SpooledFile): Promise<void> {
  const { path, sha256, bytes } = spooled;
  // Waits for somebody who is storing or deleting the same content, and goes on from there.
  const { rows } = await client.query<{ fresh: boolean }>(
    `INSERT INTO blobs (sha256, bytes, created_at) VALUES ($1, $2, clock_timestamp())
     ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes, created_at = clock_timestamp()
     RETURNING xmax = 0 AS fresh`,
    [sha256, bytes],
  );
  const present = rows[0].fresh ? new Map<number, string>() : await hashesOf(client, sha256);
  const file = await open(path, 'r');
  try {
    await storeChunks(client, file, spooled, present);
  } finally {
    await file.close();
  }
}

async function hashesOf(client: pg.PoolClient, sha256: string): Promise<Map<number, string>> {
  const { rows } = await client.query<{ index: number; hash: string }>(
    `SELECT index, encode(sha256(data), 'hex') AS hash FROM blob_chunks WHERE sha256 = $1`,
    [sha256],
  );
  return new Map(rows.map(({ index, hash }) => [index, hash]));
}

async function storeChunks(
  client: pg.PoolClient,
  file: FileHandle,
  { path, sha256, bytes }: SpooledFile,
  present: ReadonlyMap<number, string>,
): Promise<void> {
  for (let start = 0; start < bytes; start += chunkBytes) {
    const index = start / chunkBytes;
    const chunk = new Uint8Array(Math.min(chunkBytes, bytes - start));
    await readFully(file, path, start, chunk);
    const known = present.get(index);
    if (known !== undefined && known === hash(chunk)) continue;
    await client.query(
      `INSERT INTO blob_chunks (sha256, index, data) VALUES ($1, $2, $3)
       ON CONFLICT (sha256, index) DO UPDATE SET data = excluded.data`,
      // A view: pg sends Buffers in binary.
      [sha256, index, Buffer.from(chunk.buffer)],
    );
  }
  await removeBeyond(client, sha256, Math.ceil(bytes / chunkBytes), present);
}

/** Chunks past the end, of which no blob of this content has any. */
async function removeBeyond(
  client: pg.PoolClient,
  sha256: string,
  count: number,
  present: ReadonlyMap<number, string>,
): Promise<void> {
  if (![...present.keys()].some((index) => index >= count)) return;
  await client.query('DELETE FROM blob_chunks WHERE sha256 = $1 AND index >= $2', [sha256, count]);
}

function hash(chunk: Uint8Array): string {
  return createHash('sha256').update(chunk).digest('hex');
}
