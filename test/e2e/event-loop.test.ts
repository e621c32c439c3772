/**
 * A coordinator answers while a round is aggregated, however long that keeps its thread busy. Said in
 * the order of events, never in times: bench/event-loop.ts measures.
 */
import { existsSync, watch } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { TrainFunction } from '../../client/types.js';
import { task } from '../../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';

const CLIENTS = 20;
const SIZE = 200_000;

const bigTask = task.parse({
  name: 'big',
  model: { format: 'opaque', body: {}, tensors: [{ name: 'all', shape: [SIZE] }] },
  data: { features: { shape: [1] }, labels: { kind: 'value' } },
});

let database: TestDatabase;
let dataDir: string;
/** Where a rule says that it is about to finish, and is told to. */
let signals: string;
let coordinator: CoordinatorProcess;

beforeEach(async () => {
  database = await testDatabase();
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-loop-'));
  signals = await mkdtemp(join(tmpdir(), 'tributary-held-'));
  const heldRule = new URL('./support/held-rule.mjs', import.meta.url);
  const env = { NODE_OPTIONS: `--import ${heldRule.href}`, HELD_RULE_DIR: signals };
  coordinator = await serveProcess({ dataDir, databaseUrl: database.url, env });
});
afterEach(async () => {
  await dismissAll();
  await endCommands();
  await database.drop();
  for (const folder of [dataDir, signals]) await rm(folder, { recursive: true, force: true });
});

/** Client k goes k / 32 further, in every element: exact in float32, and so is the mean. */
function step(k: number): TrainFunction {
  return ({ model }) =>
    Promise.resolve({
      params: { all: model.all.map((w) => w + k / 32) },
      numExamples: 8,
      metrics: {},
    });
}

/** Creates the run; `over` resolves when all clients know of its end. */
async function begin(rule: string, rounds: number): Promise<{ run: string; over: Promise<void> }> {
  const { api, url } = coordinator;
  const zeros = { all: { shape: [SIZE], data: new Float32Array(SIZE) } };
  const blob = await api.putBlob(encodeSafetensors(zeros));
  const spec = plainRun(CLIENTS, { task: bigTask, rounds, rule: { name: rule } });
  const { id } = await api.createRun({ ...spec, init: { blob } });
  const ended: Promise<unknown>[] = [];
  for (let k = 0; k < CLIENTS; k++) {
    const name = `client-${k}`;
    const { token } = await api.enrol(id, name, 'source');
    ended.push(participate({ url, token, name, train: step(k) }).ended);
  }
  return { run: id, over: Promise.all(ended).then(() => undefined) };
}

/** All rounds at their first attempt, every update in each: the mean of 0 to 19, over 32. */
async function expectFolded(run: string, rounds: number): Promise<void> {
  const { history } = await coordinator.api.run(run);
  const versions = history.map(({ attempt, version }) => ({ attempt, version }));
  expect(versions).toEqual(
    Array.from({ length: rounds }, (_, i) => ({ attempt: 1, version: i + 1 })),
  );
  const { tensors } = decodeSafetensors(await coordinator.api.model(run, rounds));
  expect(new Set(tensors.all.data as Float32Array)).toEqual(new Set([(rounds * 9.5) / 32]));
  const { updates, diagnostics } = await coordinator.api.round(run, rounds);
  expect(updates.map(({ weight }) => weight)).toEqual(Array(CLIENTS).fill(1 / CLIENTS));
  expect(diagnostics.effectiveClients).toBeCloseTo(CLIENTS, 9);
}

/** Resolves when a rule made a file of this name. */
function made(name: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!existsSync(join(signals, name))) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(signals, look);
    look();
  });
}

function goOn(round: number): Promise<void> {
  return writeFile(join(signals, `go-on-${round}`), '');
}

it('answers while a worker folds, and stores what it folded', async () => {
  const rounds = 2;
  const { run, over } = await begin('held', rounds);
  for (let round = 1; round <= rounds; round++) {
    await made(`began-${round}`);
    // The worker is in the middle of the rule now, and stays there until it is told.
    for (const path of ['/healthz', '/readyz', '/v1/rules']) {
      const response = await fetch(`${coordinator.url}${path}`);
      expect([path, response.status]).toEqual([path, 200]);
    }
    const { status, version, now } = await coordinator.api.run(run);
    expect({ status, version, now }).toEqual({
      status: 'running',
      version: round - 1,
      now: `round ${round}: aggregate`,
    });
    await coordinator.api.enrol(run, `late-${round}`, 'source');
    await goOn(round);
  }
  await over;
  await expectFolded(run, rounds);
});

it('folds the round again where the worker died', async () => {
  const { run, over } = await begin('mortal', 1);
  await over;
  await expectFolded(run, 1);
  expect(await readdir(signals)).toEqual(['died']);
});

it('stops while a worker folds, and folds the round after the next start', async () => {
  const { run, over } = await begin('held', 1);
  await made('began-1');
  // Nothing went wrong: a line at `warn` or above would say that it did.
  expect(await coordinator.stop()).toMatchObject({ code: 0, stderr: '' });
  await goOn(1);
  await coordinator.start();
  await over;
  await expectFolded(run, 1);
});
