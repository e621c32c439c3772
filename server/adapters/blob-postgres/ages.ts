/** Blobs in Postgres by age: listed, and deleted unless they were stored again meanwhile. */
import type pg from 'pg';
import type { ListedBlob } from '../../core/ports.js';
import { onStorage } from '../blob-files.js';

const ROWS_AT_ONCE = 1000;

/**
 * Ages are counted by the clock of the database, which stamps the rows, and told by ours: where the
 * two differ, nobody's blob is young for one and old for the other.
 */
export async function* listBlobs(pool: pg.Pool): AsyncGenerator<ListedBlob> {
  let after = '';
  for (;;) {
    const { rows } = await onStorage('list the blobs', () =>
      pool.query<{ sha256: string; bytes: string; age: number }>(
        `SELECT sha256, bytes, (extract(epoch FROM clock_timestamp() - created_at) * 1000)::float8 AS age
         FROM blobs WHERE sha256 > $1 ORDER BY sha256 LIMIT ${ROWS_AT_ONCE}`,
        [after],
      ),
    );
    const now = Date.now();
    for (const { sha256, bytes, age } of rows) {
      yield { sha256, bytes: Number(bytes), storedAt: now - age };
    }
    if (rows.length < ROWS_AT_ONCE) return;
    after = rows[rows.length - 1].sha256;
  }
}

/** The row's lock makes it one step: who stores the same content waits, and stores it anew. */
export async function deleteBlob(
  pool: pg.Pool,
  sha256: string,
  storedBefore?: number,
): Promise<void> {
  if (storedBefore === undefined) {
    await pool.query('DELETE FROM blobs WHERE sha256 = $1', [sha256]);
    return;
  }
  await pool.query('DELETE FROM blobs WHERE sha256 = $1 AND created_at < $2::timestamptz', [
    sha256,
    await inItsTime(pool, storedBefore),
  ]);
}

/**
 * A moment by the database's clock, or a little before it: never after, however long the answer is on
 * its way, since what is stored meanwhile would pass for old.
 */
async function inItsTime(pool: pg.Pool, at: number): Promise<Date> {
  const { rows } = await pool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  return new Date(rows[0].now.getTime() - (Date.now() - at));
}
