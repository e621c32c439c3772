/** kill -9 of a coordinator that brought its own PostgreSQL, and of that PostgreSQL too. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import { dataDirectoryOf } from '../../server/adapters/postgres/cluster.js';
import { isAlive } from '../../server/adapters/postgres/processes.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess, stopLeftPostgres } from '../support/coordinator-process.js';
import { eventually } from '../support/database.js';
import { Gate } from '../support/gate.js';
import { dismissAll, participate } from '../support/participant.js';
import { initialModel, plainRun, plainTrainer } from '../support/plain-task.js';
import { simulateRun } from '../support/simulated-run.js';
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

async function postmasterOf(folder: string): Promise<number> {
  const path = join(dataDirectoryOf(join(folder, 'postgres')), 'postmaster.pid');
  return Number((await readFile(path, 'utf8')).split('\n')[0]);
}

describe('a coordinator with its own PostgreSQL', () => {
  it('loses no receipt when both are killed, one after the other and together', async () => {
    dataDir = await enterableTempDirectory('tributary-crash-');
    const coordinator: CoordinatorProcess = await serveProcess({ dataDir });
    const { api, url } = coordinator;
    const run = await createPlainRun(api, spec, { ada: 'source', bob: 'source' });
    const gates = [new Gate(), new Gate()];
    const [ada, bob] = NAMES.map((name) =>
      participate({
        ...{ url, name, token: run.tokens[name], numExamples: EXAMPLES[name] },
        hold: (round) => (name === 'bob' ? gates.at(round - 1)?.pass() : undefined),
      }),
    );

    await ada.receipt(1);
    const postgres = await postmasterOf(dataDir);
    await coordinator.kill();
    expect(isAlive(postgres), 'the database outlives the coordinator').toBe(true);
    await coordinator.start();
    expect(await postmasterOf(dataDir), 'and is adopted by the next').toBe(postgres);
    gates[0].open();

    await ada.receipt(2);
    process.kill(postgres, 'SIGKILL');
    await coordinator.kill();
    await eventually('the database is gone', () => Promise.resolve(!isAlive(postgres) || null));
    await coordinator.start();
    expect(await postmasterOf(dataDir)).not.toBe(postgres);
    gates[1].open();

    const summaries = await Promise.all([ada.ended, bob.ended]);
    expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
    expect([ada.began, bob.began]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    const players = NAMES.map((name) => {
      return { name, role: 'source' as const, train: plainTrainer(name, EXAMPLES[name]) };
    });
    const undisturbed = await simulateRun({ spec, init: initialModel, players });
    const { history } = await api.run(run.id);
    expect(history.map(({ checkpointSha256 }) => checkpointSha256)).toEqual(
      undisturbed.checkpoints.slice(1).map(({ sha256 }) => sha256),
    );

    const last = await postmasterOf(dataDir);
    expect(await coordinator.stop()).toMatchObject({ code: 0 });
    expect(isAlive(last), 'a clean stop takes the database with it').toBe(false);
  });
});
