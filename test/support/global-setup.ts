/**
 * Vitest's globalSetup: one PostgreSQL server for the whole run. It is started when the first test
 * asks for a database (see postgres.ts), so that runs without one don't pay for it: this process,
 * which outlives the workers, owns the server and answers their question on a port of the loopback.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestProject } from 'vitest/node';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../server/adapters/postgres/embedded.js';
import { migrate } from '../../server/adapters/postgres/migrator.js';
import { runSql } from './sql.js';

export interface TestServer {
  /** A database of the server that may create others. */
  readonly url: string;
  /** The name of a database with the migrations applied, to copy from. */
  readonly template: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    postgresService: string;
  }
}

const template = `tributary_template_${randomUUID().slice(0, 8)}`;
let embedded: EmbeddedPostgres | undefined;
let directory: string | undefined;
let starting: Promise<TestServer> | undefined;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const service = createServer((_request, response) => {
    starting ??= start();
    starting.then(
      (server) => response.end(JSON.stringify(server)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  const { port } = service.address() as AddressInfo;
  project.provide('postgresService', `http://127.0.0.1:${port}/`);

  return async () => {
    service.closeAllConnections();
    service.close();
    const server = await starting?.catch(() => undefined);
    if (server && !embedded) await runSql(server.url, `DROP DATABASE IF EXISTS ${template}`);
    await embedded?.stop();
    if (directory) await rm(directory, { recursive: true, force: true });
  };
}

async function start(): Promise<TestServer> {
  const url = process.env.TEST_DATABASE_URL ?? (await startOwn());
  await runSql(url, `CREATE DATABASE ${template}`);
  const target = new URL(url);
  target.pathname = `/${template}`;
  await migrate(target.href);
  return { url, template };
}

async function startOwn(): Promise<string> {
  directory = await enterableTempDirectory('tributary-test-');
  embedded = await startEmbeddedPostgres({ dataDir: `${directory}/postgres` });
  return embedded.url;
}
