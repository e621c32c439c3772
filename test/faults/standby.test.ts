/**
 * Two coordinators on one database, as processes: the one that stands by takes over from one that is
 * killed or stands still, the run ends as if nothing had happened, and who was taken over can commit
 * nothing when it wakes.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import type { Database } from '../support/database.js';
import { checkpointsOf, eventually, openDatabase } from '../support/database.js';
import { Gate } from '../support/gate.js';
import type { Participant } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';
import type { Answer } from '../support/raw-client.js';
import { disconnectAll, put, rawClient } from '../support/raw-client.js';
import { plainCheckpoints } from '../support/simulated-run.js';
import type { CreatedRun } from '../support/stage.js';
import { createPlainRun } from '../support/stage.js';
import type { Switch } from '../support/switch.js';
import { openSwitch } from '../support/switch.js';
import { encode, goodUpdate } from '../support/updates.js';

const LEASE_MS = 2_000;
const EXAMPLES: Readonly<Record<string, number>> = { ada: 30, bob: 50, cyd: 20 };
const NAMES = Object.keys(EXAMPLES);
const SOURCES = Object.fromEntries(NAMES.map((name) => [name, 'source' as const]));

const spec: Omit<RunSpecInput, 'init'> = plainRun(NAMES.length, {
  rounds: 3,
  seed: 23,
  optimizer: { name: 'adam', options: { eta: 0.05 } },
});

/** Checkpoints of the run that nothing happens to. */
let undisturbed: string[];
let testing: TestDatabase;
let dataDir: string;
let database: Database;
/** The first leads; both have the same database and the same blobs. */
let first: CoordinatorProcess;
let second: CoordinatorProcess;
/** What clients know: it leads them to whichever the test says, as a load balancer does. */
let door: Switch;

beforeAll(async () => {
  undisturbed = await plainCheckpoints(spec, EXAMPLES);
});
beforeEach(async () => {
  testing = await testDatabase();
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-standby-'));
  database = await openDatabase(testing.url);
  const env = { TRIBUTARY_LEASE_MS: String(LEASE_MS) };
  const serve = (): Promise<CoordinatorProcess> =>
    serveProcess({ dataDir, databaseUrl: testing.url, env });
  first = await serve();
  second = await serve();
  door = await openSwitch(portOf(first));
});
afterEach(async () => {
  disconnectAll();
  await dismissAll();
  await door.close();
  await endCommands();
  await database.close();
  await testing.drop();
  await rm(dataDir, { recursive: true, force: true });
});
afterAll(endCommands);

function portOf({ url }: CoordinatorProcess): { port: number } {
  return { port: Number(new URL(url).port) };
}

async function isReady({ url }: CoordinatorProcess): Promise<boolean> {
  return (await fetch(`${url}/readyz`)).ok;
}

/** Resolves when a coordinator leads, with the milliseconds that it took. */
async function untilLeads(coordinator: CoordinatorProcess): Promise<number> {
  const since = performance.now();
  await eventually('it leads', async () => ((await isReady(coordinator)) ? true : null));
  return performance.now() - since;
}

async function joinAll(
  hold: (name: string, round: number) => Promise<void> | undefined,
): Promise<{ run: CreatedRun; clients: Record<string, Participant> }> {
  const run = await createPlainRun(first.api, spec, SOURCES);
  const clients = NAMES.map((name) => {
    const options = { url: door.url, token: run.tokens[name], numExamples: EXAMPLES[name] };
    return [name, participate({ ...options, name, hold: (round) => hold(name, round) })] as const;
  });
  return { run, clients: Object.fromEntries(clients) };
}

/** The second training of cyd waits until the gate is open. */
async function joinAllCydHeld() {
  const held = new Gate();
  const joined = await joinAll((name, round) =>
    name === 'cyd' && round === 2 ? held.pass() : undefined,
  );
  return { ...joined, held };
}

async function expectAsIfNothingHappened(
  { id }: CreatedRun,
  clients: Record<string, Participant>,
): Promise<void> {
  const summaries = await Promise.all(Object.values(clients).map(({ ended }) => ended));
  expect(summaries.map(({ status }) => status)).toEqual(NAMES.map(() => 'completed'));
  expect(await checkpointsOf(database, id)).toEqual(undisturbed);
  const commits = await database.query<{ round: number }>(
    `SELECT (body->>'round')::int AS round FROM ledger_events
     WHERE run_id = $1 AND type = 'round-committed' ORDER BY seq`,
    id,
  );
  expect(commits.map(({ round }) => round)).toEqual([1, 2, 3]);
  const updates = await database.query<{ count: string }>(
    `SELECT count(*) FROM updates u JOIN assignments a ON a.id = u.assignment_id
     WHERE a.run_id = $1 AND u.status = 'accepted'`,
    id,
  );
  expect(updates[0].count).toBe('9');
}

/** Epochs of the leaders, as the coordinators' own ledger has them. */
async function leaders(): Promise<{ epoch: number; url: string | null }[]> {
  return database.query(
    `SELECT (body->>'epoch')::int AS epoch, body->>'url' AS url FROM coordinator_events
     WHERE type = 'leader-changed' ORDER BY seq`,
  );
}

describe('a coordinator that stands by', () => {
  it('says so, serves operators, and refuses sockets with the address of the leader', async () => {
    const response = await fetch(`${second.url}/readyz`);
    expect(response.status).toBe(503);
    const { error } = (await response.json()) as { error: unknown };
    expect(errorBody.parse(error)).toMatchObject({
      code: 'standby',
      retryable: true,
      message: expect.stringMatching(/stands by: http:\/\/127\.0\.0\.1:\d+ leads/) as string,
    });
    const run = await createPlainRun(second.api, spec, SOURCES);
    expect((await second.api.run(run.id)).now).toMatch(/^standing by; http.* leads$/);
    await expect(rawClient(second.url, 'ada', run.tokens.ada)).rejects.toMatchObject({
      data: { code: 'standby', retryAfterMs: expect.any(Number) as number },
    });
    // The leader learns of the run without being asked.
    await eventually('the leader has taken it up', async () =>
      (await first.api.run(run.id)).now.startsWith('round 1: waiting') ? true : null,
    );
  });

  it('takes uploads, in any order and repeated, and each counts once', async () => {
    const run = await createPlainRun(second.api, { ...spec, rounds: 1 }, SOURCES);
    const clients = await Promise.all(
      NAMES.map((name) => rawClient(first.url, name, run.tokens[name])),
    );
    const answers = await Promise.all(
      clients.map(async (client, i) => {
        const assignment = await client.assignment();
        const body = encode(goodUpdate(assignment, i + 1, EXAMPLES[client.name]));
        const to = ({ url }: CoordinatorProcess): Promise<Answer> =>
          put(url + assignment.uploadPath, body, { token: client.token });
        // The last client's update comes by way of the standby alone.
        const ways = client.name === 'cyd' ? [second, second, second] : [second, first, second];
        return Promise.all(ways.map(to));
      }),
    );
    for (const [i, each] of answers.entries()) {
      expect(each.map(({ receipt }) => receipt?.status)).toEqual(Array(3).fill('accepted'));
      expect(each.filter(({ receipt }) => receipt?.duplicate === false)).toHaveLength(1);
      const receipts = each.map(({ receipt }) => ({ ...receipt, duplicate: null }));
      expect(new Set(receipts.map((receipt) => JSON.stringify(receipt))).size, NAMES[i]).toBe(1);
    }
    await eventually('the round is committed', async () =>
      (await second.api.run(run.id)).status === 'completed' ? true : null,
    );
    const weights = await database.query(
      'SELECT client_id, weight FROM round_weights WHERE run_id = $1 ORDER BY client_id',
      run.id,
    );
    expect(weights).toEqual(
      NAMES.map((name) => ({ client_id: name, weight: EXAMPLES[name] / 100 })),
    );
  });

  it('stops a run of the leader, whose clients are told', async () => {
    const { run, clients } = await joinAll((name) =>
      name === 'cyd' ? new Promise(() => undefined) : undefined,
    );
    await Promise.all([clients.ada.receipt(1), clients.cyd.training(1)]);
    expect(await second.api.stop(run.id)).toMatchObject({ status: 'stopped' });
    const summaries = await Promise.all(Object.values(clients).map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(NAMES.map(() => 'stopped'));
  });
});

describe('the leader', () => {
  it('stands still in the middle of a round: the other one takes over within the lease', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await Promise.all([clients.ada.receipt(2), clients.bob.receipt(2), clients.cyd.training(2)]);
    first.freeze();
    const took = await untilLeads(second);
    expect(took).toBeLessThan(LEASE_MS + 2_000);
    door.pointAt(portOf(second));
    held.open();
    await expectAsIfNothingHappened(run, clients);

    first.thaw();
    await eventually('the first stands by', async () => ((await isReady(first)) ? null : true));
    await eventually('the first knows who leads', async () =>
      (await first.api.run(run.id)).now === `standing by; ${second.url} leads` ? true : null,
    );
    expect(await leaders()).toEqual([
      { epoch: 1, url: null },
      { epoch: 2, url: second.url },
    ]);

    const taken = untilLeads(first);
    await second.kill();
    expect(await taken).toBeLessThan(2_000);
    door.pointAt(portOf(first));
    const again = await joinAll(() => undefined);
    await expectAsIfNothingHappened(again.run, again.clients);
    expect(await leaders()).toHaveLength(3);
  });

  it('stands still in the middle of a commit: it is rolled back, and done once', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await clients.cyd.training(2);
    const blocker = await openDatabase(testing.url);
    await blocker.query('BEGIN');
    // Readers pass; whoever inserts a checkpoint waits here, in the middle of its transaction.
    await blocker.query('LOCK TABLE checkpoints IN SHARE ROW EXCLUSIVE MODE');
    held.open();
    await eventually('the commit waits', async () => {
      const rows = await database.query(
        `SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length > 0 ? true : null;
    });
    first.freeze();
    await blocker.query('ROLLBACK');
    await blocker.close();
    const took = await untilLeads(second);
    // The transaction of the one that stands still ends with its own patience, which is a lease too.
    expect(took).toBeLessThan(2 * LEASE_MS + 2_000);
    door.pointAt(portOf(second));
    await clients.cyd.receipt(3);
    first.thaw();
    await expectAsIfNothingHappened(run, clients);
    await eventually('the first stands by', async () => ((await isReady(first)) ? null : true));
    expect(await isReady(second)).toBe(true);
  });

  it('is killed: the other one takes over at once, before the lease is over', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await Promise.all([clients.ada.receipt(2), clients.bob.receipt(2), clients.cyd.training(2)]);
    await first.kill();
    expect(await untilLeads(second)).toBeLessThan(LEASE_MS);
    door.pointAt(portOf(second));
    held.open();
    await expectAsIfNothingHappened(run, clients);
  });

  it('is stopped: the other one takes over, and who comes back stands by', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await clients.cyd.training(2);
    expect(await first.stop()).toMatchObject({ code: 0 });
    await untilLeads(second);
    door.pointAt(portOf(second));
    await first.start();
    expect(await isReady(first)).toBe(false);
    held.open();
    await expectAsIfNothingHappened(run, clients);
  });
});
