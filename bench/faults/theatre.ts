/** What every row of the table is played on: one PostgreSQL, a database and a folder a run. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import type { EmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import { startEmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import type { Api } from '../../server/cli/api.js';
import { connectApi } from '../../server/cli/api.js';
import type { Database } from '../../test/support/database.js';
import { openDatabase } from '../../test/support/database.js';
import { killPostmaster } from '../../test/support/postmaster.js';
import { runSql } from '../../test/support/sql.js';
import { OPERATOR_TOKEN } from '../serve.js';
import { databaseProxy } from './proxy.js';
import { faultRun, initialModel, names } from './task.js';

export interface Theatre {
  /** A new empty database and folder; `env` configures the coordinators there. */
  stage(env?: Readonly<Record<string, string>>): Promise<Stage>;
  /** kill -9 of the server; resolves when it is gone. */
  killPostgres(): Promise<void>;
  /** Resolves when it takes connections again. */
  restartPostgres(): Promise<void>;
  close(): Promise<void>;
}

export interface Stage {
  readonly databaseUrl: string;
  readonly dataDir: string;
  /** What a coordinator here is configured with. */
  readonly env: Readonly<Record<string, string>>;
  /** For the audit, from the first migration on. */
  database(): Promise<Database>;
  close(): Promise<void>;
}

export async function openTheatre(): Promise<Theatre> {
  const home = await enterableTempDirectory('tributary-faults-');
  const dataDir = join(home, 'postgres');
  const start = (): Promise<EmbeddedPostgres> => startEmbeddedPostgres({ dataDir });
  const servers = [await start()];
  const { port, ...proxy } = await databaseProxy(portOf(servers[0].url));
  const address = new URL(servers[0].url);
  address.port = String(port);
  return {
    stage: (env = {}) => openStage(address.href, env),
    killPostgres: async () => {
      await killPostmaster(dataDir);
    },
    restartPostgres: async () => {
      const server = await start();
      servers.push(server);
      proxy.target(portOf(server.url));
    },
    close: async () => {
      await proxy.close();
      for (const server of servers) await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

async function openStage(server: string, env: Readonly<Record<string, string>>): Promise<Stage> {
  const name = `faults_${randomUUID().replaceAll('-', '')}`;
  await runSql(server, `CREATE DATABASE ${name}`);
  const address = new URL(server);
  address.pathname = `/${name}`;
  const databaseUrl = address.href;
  const dataDir = await enterableTempDirectory('tributary-faults-');
  let opened: Promise<Database> | undefined;
  return {
    databaseUrl,
    dataDir,
    env: { DATABASE_URL: databaseUrl, TRIBUTARY_DATA_DIR: dataDir, ...env },
    database: () => (opened ??= openDatabase(databaseUrl)),
    close: async () => {
      await (await opened)?.close();
      await runSql(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface CreatedRun {
  readonly api: Api;
  readonly id: string;
  /** By client. */
  readonly tokens: Readonly<Record<string, string>>;
}

export async function createRun(url: string, rounds: number): Promise<CreatedRun> {
  const api = connectApi(url, OPERATOR_TOKEN);
  const blob = await api.putBlob(initialModel);
  const { id } = await api.createRun({ ...faultRun(rounds), init: { blob } });
  const tokens: Record<string, string> = {};
  for (const name of names) tokens[name] = (await api.enrol(id, name, 'source')).token;
  return { api, id, tokens };
}
