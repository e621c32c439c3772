/** What a coordinator process writes at the level `trace`, held against every secret that it was told. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { apiRoutes } from '../../protocol/api.js';
import { ledgerKeyPath } from '../../server/adapters/ledger-key.js';
import { endCommands, type Finished, startCommand } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import { openDatabase } from '../support/database.js';
import { createPlainRun, OPERATOR_TOKEN } from '../support/stage.js';
import { plainRun } from '../support/plain-task.js';
import { type TestDatabase, testDatabase } from '../support/postgres.js';
import { disconnectAll, put, rawClient } from '../support/raw-client.js';
import { runSql } from '../support/sql.js';
import { encode, goodUpdate } from '../support/updates.js';

const PASSWORD = secret('password');
const ROLE = `canary_${randomBytes(6).toString('hex')}`;

let database: TestDatabase;
let url: string;
let dataDir: string;
let coordinator: CoordinatorProcess;

function secret(what: string): string {
  return `canary-${what}-${randomBytes(9).toString('hex')}`;
}

beforeAll(async () => {
  database = await testDatabase();
  const asRole = new URL(database.url);
  const owner = decodeURIComponent(asRole.username);
  await runSql(database.url, `CREATE ROLE ${ROLE} LOGIN PASSWORD '${PASSWORD}' IN ROLE "${owner}"`);
  [asRole.username, asRole.password] = [ROLE, PASSWORD];
  url = asRole.href;
  dataDir = mkdtempSync(join(tmpdir(), 'tributary-secrets-'));
  coordinator = await serveProcess({
    dataDir,
    databaseUrl: url,
    env: { TRIBUTARY_LOG_LEVEL: 'trace' },
  });
});
afterAll(async () => {
  disconnectAll();
  await endCommands();
  await runSql(database.url, `DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`);
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** Every call, with a token where it belongs and where it does not. */
async function knockEverywhere(token: string): Promise<void> {
  for (const { method, path } of apiRoutes) {
    const at = `${coordinator.url}${path.replace(/:\w+/g, 'x')}?token=${token}&from=${token}`;
    const headers = { authorization: `Bearer ${token}`, cookie: `token=${token}` };
    const body = method === 'get' ? null : JSON.stringify({ token });
    await (await fetch(at, { method: method.toUpperCase(), headers, body })).text();
  }
  const basic = Buffer.from(`user:${token}`).toString('base64');
  await fetch(`${coordinator.url}/v1/me`, { headers: { authorization: `Basic ${basic}` } });
  await fetch(`${coordinator.url}/socket.io/?EIO=4&transport=polling&token=${token}`);
}

async function trySocket(auth: object): Promise<void> {
  const socket = io(coordinator.url, { auth, forceNew: true, reconnection: false });
  await new Promise((resolve) => {
    socket.on('connect', () => resolve(null)).on('connect_error', () => resolve(null));
  });
  socket.disconnect();
}

it('no token, no password and no key, whatever is said and whatever breaks', async () => {
  const strange = secret('stranger');
  const { api } = coordinator;
  const run = await createPlainRun(api, plainRun(1, { rounds: 2 }), { ada: 'source' });
  const operator = await fetch(`${coordinator.url}/v1/operators`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ name: 'vera', role: 'viewer' }),
  });
  const { token: vera } = (await operator.json()) as { token: string };
  const tokens = [strange, vera, run.tokens.ada, OPERATOR_TOKEN];

  const ada = await rawClient(coordinator.url, 'ada', run.tokens.ada);
  const assignment = await ada.assignment();
  await put(coordinator.url + assignment.uploadPath, encode(goodUpdate(assignment, 1, 5)), ada);
  for (const token of tokens) {
    await knockEverywhere(token);
    await trySocket({ token });
    await trySocket({ token, authorization: token, nested: { token } });
  }
  // What the database's driver says of itself when its connections are cut.
  const outside = await openDatabase(database.url);
  await outside.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`,
    ROLE,
  );
  await outside.close();
  await knockEverywhere(strange);

  const { stdout, stderr } = await coordinator.stop();
  expect(stderr).toContain('"msg":"request completed"');
  expect(stderr).toContain(`"assignment":"${assignment.id}"`);
  const key = readFileSync(ledgerKeyPath(dataDir), 'utf8').split('\n')[1];
  for (const hidden of [...tokens, PASSWORD, key]) {
    expect(stdout).not.toContain(hidden);
    expect(stderr).not.toContain(hidden);
    expect(stderr).not.toContain(Buffer.from(`user:${hidden}`).toString('base64'));
  }
});

it('nor when it cannot start', async () => {
  const wrongPassword = secret('wrong');
  const wrong = new URL(url);
  wrong.password = wrongPassword;
  wrong.pathname = '/no-such-database';
  const unreachable = `postgresql://user:${PASSWORD}@127.0.0.1:1/tributary`;
  const odd = `mysql://user:${PASSWORD}@127.0.0.1/tributary`;
  for (const address of [wrong.href, unreachable, odd]) {
    const { code, stdout, stderr }: Finished = await startCommand(['serve'], {
      env: {
        TRIBUTARY_PORT: '0',
        TRIBUTARY_DATA_DIR: dataDir,
        TRIBUTARY_LOG_LEVEL: 'trace',
        TRIBUTARY_OPERATOR_TOKEN: OPERATOR_TOKEN,
        DATABASE_URL: address,
      },
    }).ended;
    expect(code).not.toBe(0);
    for (const hidden of [PASSWORD, wrongPassword, OPERATOR_TOKEN]) {
      expect(stdout + stderr).not.toContain(hidden);
    }
  }
});
