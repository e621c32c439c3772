/** A coordinator in the test's own process, on a real database, with real doors on the loopback. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Role, RunSpecInput } from '../../protocol/run.js';
import type { Coordinator } from '../../server/app.js';
import type { CoordinatorOptions } from '../../server/settings.js';
import { createCoordinator } from '../../server/app.js';
import type { Api } from '../../server/cli/api.js';
import { connectApi } from '../../server/cli/api.js';
import { logLevels } from '../../server/config.js';
import type { Database } from './database.js';
import { openDatabase } from './database.js';
import { initialModel } from './plain-task.js';
import { testDatabase } from './postgres.js';

export const OPERATOR_TOKEN = 'operator-token-of-the-tests';

/** `TEST_LOG_LEVEL=warn npx vitest run …` shows what the coordinator has to say. */
const LOG_LEVEL = z.enum(logLevels).default('silent').parse(process.env.TEST_LOG_LEVEL);

export interface Stage {
  readonly url: string;
  readonly api: Api;
  readonly coordinator: Coordinator;
  readonly database: Database;
  readonly databaseUrl: string;
  readonly dataDir: string;
  close(): Promise<void>;
}

export async function openStage(options: CoordinatorOptions = {}): Promise<Stage> {
  const testing = await testDatabase();
  const databaseUrl = testing.url;
  const dataDir = await mkdtemp(join(tmpdir(), 'tributary-stage-'));
  const coordinator = await createCoordinator({
    databaseUrl,
    dataDir,
    port: 0,
    operatorToken: OPERATOR_TOKEN,
    logLevel: LOG_LEVEL,
    ...options,
  });
  const database = await openDatabase(databaseUrl);
  return {
    url: coordinator.url,
    api: connectApi(coordinator.url, OPERATOR_TOKEN),
    coordinator,
    database,
    databaseUrl,
    dataDir,
    close: async () => {
      await database.close();
      await coordinator.close();
      await testing.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface CreatedRun {
  readonly id: string;
  /** By client name. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** Creates a run of the plain task and enrols its clients, by name and role. */
export async function createPlainRun(
  api: Api,
  spec: Omit<RunSpecInput, 'init'>,
  clients: Readonly<Record<string, Role>>,
): Promise<CreatedRun> {
  const blob = await api.putBlob(initialModel);
  const { id } = await api.createRun({ ...spec, init: { blob } });
  const tokens: Record<string, string> = {};
  for (const [name, role] of Object.entries(clients)) {
    tokens[name] = (await api.enrol(id, name, role)).token;
  }
  return { id, tokens };
}
