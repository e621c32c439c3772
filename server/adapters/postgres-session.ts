/** How our sessions with Postgres are set, whatever the server's or the database's defaults are. */
import pg from 'pg';

/**
 * - TimeZone: Prisma's adapter writes and reads times without their offset. In another zone, times
 *   would be wrong by hours in psql, and lost where clocks are set forward.
 * - DateStyle: the form in which that adapter parses them.
 * - Isolation: a statement after a lock must see what the lock's previous holder committed.
 */
const settings = [
  '-c TimeZone=UTC',
  '-c DateStyle=ISO',
  String.raw`-c default_transaction_isolation=read\ committed`,
].join(' ');

/** How long a query waits for a connection, whether the server is slow or all are in use. */
export const connectionTimeoutMs = 30_000;

/** How soon the server ends a session that keeps its locks for nobody; without it, when it likes. */
export interface SessionLimits {
  /** Without a word from us in the middle of a transaction: a process that stands still. */
  readonly idleInTransactionMs?: number | undefined;
  /** After we are gone in the middle of a statement: a process that was killed. */
  readonly goneMs?: number | undefined;
}

function limitSettings({ idleInTransactionMs, goneMs }: SessionLimits): string {
  return [
    idleInTransactionMs && ` -c idle_in_transaction_session_timeout=${idleInTransactionMs}`,
    goneMs && ` -c client_connection_check_interval=${goneMs}`,
  ]
    .filter((setting) => typeof setting === 'string')
    .join('');
}

/** @param name shown to administrators in pg_stat_activity */
export function sessionPool(
  url: string,
  connections: number,
  name: string,
  limits: SessionLimits = {},
): pg.PoolConfig {
  const options = settings + limitSettings(limits);
  return {
    connectionString: withOptions(url, options),
    options,
    max: connections,
    connectionTimeoutMillis: connectionTimeoutMs,
    keepAlive: true,
    application_name: name,
  };
}

/**
 * A session beside the pools, for what belongs to a session: locks, notifications, signs of life.
 * Whoever opens it ends it. A server that goes away makes the next query fail, and `end` be emitted.
 *
 * @param timeoutMs how long the connection, and then each query, may take
 */
export async function openSession(
  url: string,
  name: string,
  timeoutMs: number,
): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: withOptions(url, settings),
    options: settings,
    connectionTimeoutMillis: Math.min(timeoutMs, connectionTimeoutMs),
    query_timeout: timeoutMs,
    keepAlive: true,
    application_name: name,
  });
  // Without a listener, a server that goes away would end the whole process.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    // A server that answers too late would find a connection that nobody uses.
    void client.end().catch(() => undefined);
    throw error;
  }
  return client;
}

/** Whether the server can look after those who wait for it: before 14, and on some systems, it cannot. */
export async function noticesWhoIsGone(url: string): Promise<boolean> {
  const client = await openSession(url, 'tributary', connectionTimeoutMs);
  try {
    await client.query('SET client_connection_check_interval = 1000');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Options in the URL take the place of ours: they are joined there. */
function withOptions(url: string, options: string): string {
  if (!URL.canParse(url)) return url; // forms that only pg reads, such as "postgres://user@/db"
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options');
  if (given === null) return url;
  parsed.searchParams.set('options', `${given} ${options}`);
  return parsed.href;
}
