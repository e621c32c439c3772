/** How our sessions with Postgres are set, whatever the server's or the database's defaults are. */
import type pg from 'pg';

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

/** @param name shown to administrators in pg_stat_activity */
export function sessionPool(url: string, connections: number, name: string): pg.PoolConfig {
  return {
    connectionString: withSettings(url),
    options: settings,
    max: connections,
    connectionTimeoutMillis: connectionTimeoutMs,
    keepAlive: true,
    application_name: name,
  };
}

/** Options in the URL take the place of ours: they are joined there. */
function withSettings(url: string): string {
  if (!URL.canParse(url)) return url; // forms that only pg reads, such as "postgres://user@/db"
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options');
  if (given === null) return url;
  parsed.searchParams.set('options', `${given} ${settings}`);
  return parsed.href;
}
