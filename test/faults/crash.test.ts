/**
 * kill -9 of the coordinator. Whatever it was doing: the run completes with the checkpoints of a run
 * that nothing happened to, every accepted update counts once, and nobody trains again what was
 * acknowledged.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EvaluateFunction } from '../../client/types.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import type { Database } from '../support/database.js';
import { checkpointsOf, eventually, openDatabase } from '../support/database.js';
import { Gate } from '../support/gate.js';
import type { Participant, ParticipantOptions } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainEvaluator, plainRun } from '../support/plain-task.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';
import { plainCheckpoints } from '../support/simulated-run.js';
import type { CreatedRun } from '../support/stage.js';
import { createPlainRun } from '../support/stage.js';

const EXAMPLES: Readonly<Record<string, number>> = { ada: 30, bob: 50, cyd: 20 };
const NAMES = Object.keys(EXAMPLES);
const ROUNDS = 3;

/** An optimizer with state, so that what a restart must find again is more than the model. */
const spec: Omit<RunSpecInput, 'init'> = plainRun(NAMES.length, {
  rounds: ROUNDS,
  seed: 21,
  optimizer: { name: 'adam', options: { eta: 0.05 } },
});

/** Checkpoints of the run that nothing happens to. */
let undisturbed: string[];
let database: TestDatabase;
let dataDir: string;
let look: Database;
let coordinator: CoordinatorProcess;

beforeAll(async () => {
  undisturbed = await plainCheckpoints(spec, EXAMPLES);
  database = await testDatabase();
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-crash-'));
  look = await openDatabase(database.url);
  coordinator = await serveProcess({ dataDir, databaseUrl: database.url });
});
afterEach(dismissAll);
afterAll(async () => {
  await endCommands();
  await look.close();
  await database.drop();
  await rm(dataDir, { recursive: true, force: true });
});

type Options = Pick<ParticipantOptions, 'hold' | 'onEvent' | 'evaluate'>;

async function joinAll(
  optionsOf: (name: string) => Options = () => ({}),
): Promise<{ run: CreatedRun; clients: Record<string, Participant> }> {
  const sources = Object.fromEntries(NAMES.map((name) => [name, 'source' as const]));
  const run = await createPlainRun(coordinator.api, spec, sources);
  const clients = NAMES.map((name) => {
    const { url } = coordinator;
    const common = { url, name, token: run.tokens[name], numExamples: EXAMPLES[name] };
    return [name, participate({ ...common, ...optionsOf(name) })] as const;
  });
  return { run, clients: Object.fromEntries(clients) };
}

/** The second training of cyd waits until the gate is open. */
async function joinAllCydHeld() {
  const held = new Gate();
  const joined = await joinAll((name) => ({
    hold: (round) => (name === 'cyd' && round === 2 ? held.pass() : undefined),
  }));
  return { ...joined, held };
}

/** kill -9, and up again. */
async function crash(): Promise<void> {
  await coordinator.kill();
  await coordinator.start();
}

async function expectAsIfNothingHappened(
  { id }: CreatedRun,
  clients: Record<string, Participant>,
): Promise<void> {
  const summaries = await Promise.all(Object.values(clients).map(({ ended }) => ended));
  expect(summaries.map(({ status }) => status)).toEqual(NAMES.map(() => 'completed'));
  expect(await checkpointsOf(look, id)).toEqual(undisturbed);

  const rounds = await look.query<object>(
    'SELECT number, attempt, phase FROM rounds WHERE run_id = $1 ORDER BY number, attempt',
    id,
  );
  expect(rounds).toEqual([1, 2, 3].map((number) => ({ number, attempt: 1, phase: 'closed' })));
  const weights = await look.query<{ round: number; client_id: string; weight: number }>(
    'SELECT round, client_id, weight FROM round_weights WHERE run_id = $1 ORDER BY round, client_id',
    id,
  );
  expect(weights).toEqual(
    [1, 2, 3].flatMap((round) =>
      NAMES.map((name) => ({ round, client_id: name, weight: EXAMPLES[name] / 100 })),
    ),
  );
  const commits = await look.query<{ round: number }>(
    `SELECT (body->>'round')::int AS round FROM ledger_events
     WHERE run_id = $1 AND type = 'round-committed' ORDER BY seq`,
    id,
  );
  expect(commits.map(({ round }) => round)).toEqual([1, 2, 3]);
}

/** Every client trained in every round exactly once. */
function expectTrainedOnce(clients: Record<string, Participant>): void {
  for (const { name, began, log } of Object.values(clients)) {
    expect(began, name).toEqual([1, 2, 3]);
    const receipts = log.of('receipt').map(({ receipt }) => receipt);
    expect(
      receipts.map(({ status }) => status),
      name,
    ).toEqual(['accepted', 'accepted', 'accepted']);
  }
}

describe('a coordinator that is killed', () => {
  it('in the middle of training keeps the receipts that it gave, and takes the others after', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await Promise.all([clients.ada.receipt(2), clients.bob.receipt(2), clients.cyd.training(2)]);
    await coordinator.kill();
    // Its training ends while nobody is there to take the result.
    held.open();
    await coordinator.start();
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
  });

  it('at the moment of a receipt still knows of it', async () => {
    let killed: Promise<void> | undefined;
    const joined: { clients?: Record<string, Participant> } = {};
    const { run, clients } = await joinAll((name) => ({
      // The run must not end before everybody has asked again for a receipt that was lost.
      hold: async (round) => {
        if (round === 3) await joined.clients?.[name].receipt(2);
      },
      onEvent: (event) => {
        if (event.type === 'receipt' && event.work.round === 2) killed ??= coordinator.kill();
      },
    }));
    joined.clients = clients;
    await Promise.race(Object.values(clients).map((client) => client.receipt(2)));
    await killed;
    await coordinator.start();
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
  });

  it('in the middle of a commit commits once', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await clients.cyd.training(2);
    const blocker = await openDatabase(database.url);
    try {
      await blocker.query('BEGIN');
      // Readers pass; whoever inserts a checkpoint waits here, in the middle of its transaction.
      await blocker.query('LOCK TABLE checkpoints IN SHARE ROW EXCLUSIVE MODE');
      held.open();
      const killed = await otherWaiting([]);
      await coordinator.kill();
      await coordinator.start();
      // The new one does the same duty; the killed one's transaction is given up meanwhile.
      await otherWaiting(killed);
    } finally {
      await blocker.query('ROLLBACK');
      await blocker.close();
    }
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
  });

  it('again and again, before, between and after receipts, still completes', async () => {
    const gates = [new Gate(), new Gate(), new Gate()];
    const judging = new Gate();
    const judged = new Gate();
    const evaluateLate: EvaluateFunction = async (request) => {
      if (request.round === 3) {
        judging.open();
        await judged.pass();
      }
      return plainEvaluator('bob', 5)(request);
    };
    const { run, clients } = await joinAll((name) => ({
      hold: (round) =>
        (name === 'cyd' && round < 3) || round === 1 ? gates[round - 1].pass() : undefined,
      ...(name === 'bob' && { evaluate: evaluateLate }),
    }));
    // Who is not there when a round commits is not asked to evaluate it.
    const allBack = (times: number): Promise<unknown> =>
      Promise.all(NAMES.map((name) => clients[name].log.nth('connected', times)));
    await Promise.all(NAMES.map((name) => clients[name].training(1)));
    await crash();
    await allBack(2);
    gates[0].open();
    await Promise.all([clients.ada.receipt(2), clients.cyd.training(2)]);
    await crash();
    await allBack(3);
    gates[1].open();
    await judging.pass();
    await crash();
    judged.open();
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
    const { history } = await coordinator.api.run(run.id);
    expect(history.map(({ evaluation }) => evaluation?.numExamples)).toEqual([5, 5, 5]);
  });
});

describe('a coordinator that is stopped', () => {
  it('by SIGTERM lets its clients know, and goes on with them when it is started again', async () => {
    const { run, clients, held } = await joinAllCydHeld();
    await Promise.all([clients.ada.receipt(2), clients.bob.receipt(2), clients.cyd.training(2)]);
    expect(await coordinator.stop()).toMatchObject({ code: 0, stderr: '' });
    const { error } = await clients.cyd.log.nth('disconnected');
    expect(error).toMatchObject({ code: 'shutting_down' });
    await coordinator.start();
    held.open();
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
  });
});

describe('a coordinator that loses its database', () => {
  it('goes on where it was when the database is back', async () => {
    let cut: Promise<unknown> | undefined;
    const { run, clients } = await joinAll(() => ({
      onEvent: (event) => {
        if (event.type === 'sending' && event.work.round === 2) cut ??= endSessions();
      },
    }));
    await expectAsIfNothingHappened(run, clients);
    expectTrainedOnce(clients);
    expect(await cut).not.toEqual([]);
  });

  /** Ends every session of the coordinator, whatever it is doing. */
  function endSessions(): Promise<object[]> {
    return look.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
  }
});

/** Resolves when others than these wait for a lock, with all who do. */
async function otherWaiting(known: readonly number[]): Promise<number[]> {
  return eventually('a transaction waits for a lock', async () => {
    const rows = await look.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    const pids = rows.map(({ pid }) => pid);
    return pids.some((pid) => !known.includes(pid)) ? pids : null;
  });
}
