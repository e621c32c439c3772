/** kill -9 of a coordinator that brought its own PostgreSQL, and of that PostgreSQL too. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import { isAlive } from '../../server/adapters/postgres/processes.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess, stopLeftPostgres } from '../support/coordinator-process.js';
import { eventually } from '../support/database.js';
import { Gate } from '../support/gate.js';
import type { Participant } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import { postmasterOf } from '../support/postmaster.js';
import { plainCheckpoints } from '../support/simulated-run.js';
import { createPlainRun } from '../support/stage.js';

const EXAMPLES: Readonly<Record<string, number>> = { ada: 30, bob: 50 };
const NAMES = Object.keys(EXAMPLES);
const spec = plainRun(NAMES.length, { rounds: 3, optimizer: { name: 'momentum', options: {} } });

let dataDir: string | undefined;
afterEach(async () => {
  await dismissAll();
  await endCommands();
  if (dataDir === undefined) return;
  await stopLeftPostgres(dataDir);
  await rm(dataDir, { recursive: true, force: true });
});

function participants(url: string, tokens: Readonly<Record<string, string>>, gates: Gate[]) {
  return NAMES.map((name) =>
    participate({
      ...{ url, name, token: tokens[name], numExamples: EXAMPLES[name] },
      hold: (round) => (name === 'bob' ? gates.at(round - 1)?.pass() : undefined),
    }),
  );
}

async function checkpointsOf({ api }: CoordinatorProcess, run: string): Promise<(string | null)[]> {
  return (await api.run(run)).history.map(({ checkpointSha256 }) => checkpointSha256);
}

/** Where the coordinator has its database. */
function postgresIn(folder: string): string {
  return join(folder, 'postgres');
}

async function expectAsIfNothingHappened(
  coordinator: CoordinatorProcess,
  run: string,
  clients: readonly Participant[],
): Promise<void> {
  const summaries = await Promise.all(clients.map(({ ended }) => ended));
  expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
  expect(clients.map(({ began }) => began)).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  const undisturbed = await plainCheckpoints(spec, EXAMPLES);
  expect(await checkpointsOf(coordinator, run)).toEqual(undisturbed.slice(1));
}

describe('a coordinator with its own PostgreSQL', () => {
  it('loses no receipt when both are killed, one after the other and together', async () => {
    dataDir = await enterableTempDirectory('tributary-crash-');
    const coordinator: CoordinatorProcess = await serveProcess({ dataDir });
    const run = await createPlainRun(coordinator.api, spec, { ada: 'source', bob: 'source' });
    const gates = [new Gate(), new Gate()];
    const [ada, bob] = participants(coordinator.url, run.tokens, gates);

    await ada.receipt(1);
    const postgres = await postmasterOf(postgresIn(dataDir));
    await coordinator.kill();
    expect(isAlive(postgres), 'the database outlives the coordinator').toBe(true);
    await coordinator.start();
    expect(await postmasterOf(postgresIn(dataDir)), 'and is adopted by the next').toBe(postgres);
    gates[0].open();

    await ada.receipt(2);
    process.kill(postgres, 'SIGKILL');
    await coordinator.kill();
    await eventually('the database is gone', () => Promise.resolve(!isAlive(postgres) || null));
    await coordinator.start();
    expect(await postmasterOf(postgresIn(dataDir))).not.toBe(postgres);
    gates[1].open();

    await expectAsIfNothingHappened(coordinator, run.id, [ada, bob]);

    const last = await postmasterOf(postgresIn(dataDir));
    expect(await coordinator.stop()).toMatchObject({ code: 0 });
    expect(isAlive(last), 'a clean stop takes the database with it').toBe(false);
  });

  it('launches it again where it is killed alone, whether it started or adopted it', async () => {
    dataDir = await enterableTempDirectory('tributary-relaunch-');
    const folder = dataDir;
    const coordinator = await serveProcess({ dataDir });
    const run = await createPlainRun(coordinator.api, spec, { ada: 'source', bob: 'source' });
    const gates = [new Gate(), new Gate()];
    const [ada, bob] = participants(coordinator.url, run.tokens, gates);

    const killIt = async (): Promise<void> => {
      const { pid } = coordinator;
      const killed = await postmasterOf(postgresIn(folder));
      process.kill(killed, 'SIGKILL');
      await eventually('another one runs', async () => {
        const found = await postmasterOf(postgresIn(folder)).catch(() => killed);
        return found === killed ? null : true;
      });
      await eventually('/readyz says 200', async () =>
        (await fetch(`${coordinator.url}/readyz`)).ok ? true : null,
      );
      expect(coordinator.pid, 'the same process').toBe(pid);
    };
    await Promise.all([ada.receipt(1), bob.training(1)]);
    await killIt();
    gates[0].open();

    await Promise.all([ada.receipt(2), bob.training(2)]);
    const adopted = await postmasterOf(postgresIn(folder));
    await coordinator.kill();
    await coordinator.start();
    expect(await postmasterOf(postgresIn(folder))).toBe(adopted);
    await killIt();
    gates[1].open();

    await expectAsIfNothingHappened(coordinator, run.id, [ada, bob]);

    const last = await postmasterOf(postgresIn(folder));
    const { code, stderr } = await coordinator.stop();
    expect(code).toBe(0);
    expect(stderr).toContain(`PostgreSQL (process ${adopted}) has ended: launching it again`);
    expect(isAlive(last), 'a clean stop takes the database with it').toBe(false);
  }, 120_000);
});
