/**
 * PostgreSQL is killed under a coordinator that lives, and comes back: no receipt that was not
 * stored, a clear state meanwhile, and the run goes on by itself.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import type { EmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import { startEmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import { checkpointsOf, eventually, openDatabase } from '../support/database.js';
import { Gate } from '../support/gate.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import { killPostmaster } from '../support/postmaster.js';
import { disconnectAll, put, rawClient } from '../support/raw-client.js';
import { plainCheckpoints } from '../support/simulated-run.js';
import { createPlainRun } from '../support/stage.js';
import type { Switch } from '../support/switch.js';
import { openSwitch } from '../support/switch.js';
import { encode, goodUpdate } from '../support/updates.js';

const LEASE_MS = 2_000;
const EXAMPLES: Readonly<Record<string, number>> = { ada: 30, bob: 50 };
const NAMES = Object.keys(EXAMPLES);
const SOURCES = Object.fromEntries(NAMES.map((name) => [name, 'source' as const]));

let home: string;
let postgres: EmbeddedPostgres;
/** Keeps the database's address, whatever port it comes back on. */
let wire: Switch;
let coordinator: CoordinatorProcess;

beforeEach(async () => {
  home = await enterableTempDirectory('tributary-database-gone-');
  postgres = await startPostgres();
  wire = await openSwitch(addressOf(postgres));
  coordinator = await serveProcess({
    dataDir: join(home, 'coordinator'),
    databaseUrl: urlBy(wire),
    env: { TRIBUTARY_LEASE_MS: String(LEASE_MS), TRIBUTARY_LOG_LEVEL: 'fatal' },
  });
});
afterEach(async () => {
  disconnectAll();
  await dismissAll();
  await endCommands();
  await wire.close();
  await postgres.stop();
  await rm(home, { recursive: true, force: true });
});

function startPostgres(): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir: join(home, 'postgres') });
}

function addressOf({ url }: EmbeddedPostgres): { port: number } {
  return { port: Number(new URL(url).port) };
}

function urlBy({ port }: Switch): string {
  const url = new URL(postgres.url);
  url.port = String(port);
  return url.href;
}

async function bringPostgresBack(): Promise<void> {
  postgres = await startPostgres();
  wire.pointAt(addressOf(postgres));
}

async function readiness(): Promise<number> {
  return (await fetch(`${coordinator.url}/readyz`)).status;
}

async function untilReadinessIs(status: number): Promise<number> {
  const since = performance.now();
  await eventually(`/readyz says ${status}`, async () =>
    (await readiness()) === status ? true : null,
  );
  return performance.now() - since;
}

describe('a coordinator whose PostgreSQL is killed', () => {
  it('goes on when it is back, as if nothing had happened', async () => {
    const spec = plainRun(NAMES.length, {
      rounds: 3,
      optimizer: { name: 'momentum', options: {} },
    });
    const held = new Gate();
    const run = await createPlainRun(coordinator.api, spec, SOURCES);
    const { url, pid } = coordinator;
    const [ada, bob] = NAMES.map((name) =>
      participate({
        ...{ url, name, token: run.tokens[name], numExamples: EXAMPLES[name] },
        hold: (round) => (name === 'bob' && round === 2 ? held.pass() : undefined),
      }),
    );
    await Promise.all([ada.receipt(2), bob.training(2)]);
    await killPostmaster(join(home, 'postgres'));
    await untilReadinessIs(503);
    // Its training ends, and it asks for a receipt that nobody can give.
    held.open();
    await bob.log.nth('sending', 2);
    // For longer than the lease: the coordinator gives up the lead that it cannot renew.
    await bob.log.nth('disconnected');
    expect(bob.log.of('receipt')).toHaveLength(1);

    await bringPostgresBack();
    expect(await untilReadinessIs(200)).toBeLessThan(5_000);
    const summaries = await Promise.all([ada.ended, bob.ended]);
    expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
    expect([ada.began, bob.began]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    const database = await openDatabase(postgres.url);
    expect(await checkpointsOf(database, run.id)).toEqual(await plainCheckpoints(spec, EXAMPLES));
    await database.close();
    expect(coordinator.pid, 'the same process').toBe(pid);
  });

  it('acknowledges nothing meanwhile, and says when to come back', async () => {
    // Nobody evaluates: else the commit would wait for clients that do not come back.
    const spec = plainRun(NAMES.length, { rounds: 1, evaluateEvery: 0 });
    const run = await createPlainRun(coordinator.api, spec, SOURCES);
    const { url } = coordinator;
    const clients = await Promise.all(NAMES.map((name) => rawClient(url, name, run.tokens[name])));
    const bodies = await Promise.all(
      clients.map(async (client, i) => {
        const assignment = await client.assignment();
        const path = url + assignment.uploadPath;
        const body = encode(goodUpdate(assignment, i + 1, EXAMPLES[client.name]));
        return { path, body, token: client.token };
      }),
    );
    await killPostmaster(join(home, 'postgres'));
    for (const { path, body, token } of bodies) {
      const answer = await put(path, body, { token });
      expect(answer).toMatchObject({ status: 503, code: 'storage_unavailable', receipt: null });
    }
    await bringPostgresBack();
    await untilReadinessIs(200);
    for (const { path, body, token } of bodies) {
      const { receipt } = await put(path, body, { token });
      expect(receipt).toMatchObject({ status: 'accepted', duplicate: false });
    }
    await eventually('the run completes', async () =>
      (await coordinator.api.run(run.id)).status === 'completed' ? true : null,
    );
  });
});
