/** Looking into a coordinator's database from outside, as an operator with psql does. */
import pg from 'pg';

export interface Database {
  query<Row extends pg.QueryResultRow>(sql: string, ...values: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** A connection of the test's own; its session is ended by the server without harm to the test. */
export async function openDatabase(url: string): Promise<Database> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return {
    query: async <Row extends pg.QueryResultRow>(sql: string, ...values: unknown[]) =>
      (await client.query<Row>(sql, values)).rows,
    close: () => client.end(),
  };
}

const POLL_MS = 25;

/** For what no event tells: asks again until `look` finds something, for at most `withinMs`. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null | undefined>,
  withinMs = 30_000,
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined) return found;
    if (performance.now() > end) throw new Error(`did not happen in ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The sha256 of every checkpoint of a run, from version 0 on. */
export async function checkpointsOf(database: Database, runId: string): Promise<string[]> {
  const rows = await database.query<{ sha256: string }>(
    'SELECT sha256 FROM checkpoints WHERE run_id = $1 ORDER BY version',
    runId,
  );
  return rows.map(({ sha256 }) => sha256);
}
