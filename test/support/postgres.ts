/**
 * Databases for tests, on one real PostgreSQL server for the whole run: TEST_DATABASE_URL's where
 * that is set, else an embedded one that global-setup.ts starts.
 */
import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import type { TestServer } from './global-setup.js';
import { runSql } from './sql.js';

export interface TestDatabase {
  readonly url: string;
  /** Removes the database, and ends the sessions that are still connected to it. */
  drop(): Promise<void>;
}

/** A new database with the shipped migrations applied. */
export async function testDatabase(): Promise<TestDatabase> {
  return create(await testServer(), true);
}

/** A new database without anything in it. */
export async function emptyDatabase(): Promise<TestDatabase> {
  return create(await testServer(), false);
}

let server: Promise<TestServer> | undefined;

function testServer(): Promise<TestServer> {
  return (server ??= ask());
}

async function ask(): Promise<TestServer> {
  const response = await fetch(inject('postgresService'));
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as TestServer;
}

async function create({ url, template }: TestServer, migrated: boolean): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await runSql(url, `CREATE DATABASE ${name} TEMPLATE ${migrated ? template : 'template0'}`);
  const address = new URL(url);
  address.pathname = `/${name}`;
  return {
    url: address.href,
    drop: async () => {
      await runSql(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}
