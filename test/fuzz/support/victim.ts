/**
 * A coordinator in a process of its own that a test attacks, and a round in it that must come to the
 * same end as if nobody had: two clients wait with their updates until the attack is over.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { decodeSafetensors } from '../../../protocol/safetensors.js';
import { endCommands } from '../../support/command.js';
import type { CoordinatorProcess } from '../../support/coordinator-process.js';
import { serveProcess } from '../../support/coordinator-process.js';
import { eventually } from '../../support/database.js';
import { initialParams, plainRun } from '../../support/plain-task.js';
import { testDatabase } from '../../support/postgres.js';
import type { RawClient } from '../../support/raw-client.js';
import { disconnectAll, put, rawClient } from '../../support/raw-client.js';
import type { CreatedRun } from '../../support/stage.js';
import { createPlainRun } from '../../support/stage.js';
import { encode, goodUpdate } from '../../support/updates.js';

/** What the two who wait will send: deltas of one number everywhere, and how many examples. */
const GOOD = { ada: { value: 0.25, numExamples: 30 }, bob: { value: -0.5, numExamples: 10 } };
/** Their mean by examples: 0.25 * 0.75 - 0.5 * 0.25. */
const MOVED = 0.0625;

/** Garbage that was not collected yet, and caches that fill once; a leak is more, given some time. */
const SLACK_BYTES = 96 * 1024 ** 2;

export interface Victim {
  readonly url: string;
  readonly coordinator: CoordinatorProcess;
  /** A run that attackers may do anything to; its clients are `eve-1`, `eve-2`, … */
  readonly bait: CreatedRun;
  /** A run of so many clients, each with its assignment, which ends when all have answered. */
  openRound(size: number): Promise<{ readonly runId: string; readonly clients: RawClient[] }>;
  /** Notes how much memory the process has now: what comes before is warming up. */
  warm(): void;
  /** The process has never stopped, its memory has not grown, and the round ends as it should. */
  expectUnharmed(): Promise<void>;
  close(): Promise<void>;
}

export async function openVictim(options: { readonly eves?: number } = {}): Promise<Victim> {
  const database = await testDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), 'tributary-fuzz-'));
  const coordinator = await serveProcess({ dataDir, databaseUrl: database.url });
  const { url, api, pid } = coordinator;
  const openRound: Victim['openRound'] = async (size) => {
    const names = Array.from({ length: size }, (_, k) => `client-${k + 1}`);
    const spec = plainRun(size, { rounds: 1, evaluateEvery: 0, quorum: { min: 1, share: 0 } });
    const run = await createPlainRun(api, spec, sources(names));
    const clients: RawClient[] = [];
    for (const name of names) clients.push(await rawClient(url, name, run.tokens[name]));
    return { runId: run.id, clients };
  };
  const guarded = await createPlainRun(
    api,
    plainRun(2, { rounds: 1, evaluateEvery: 0 }),
    sources(Object.keys(GOOD)),
  );
  const ada = await rawClient(url, 'ada', guarded.tokens.ada);
  const bob = await rawClient(url, 'bob', guarded.tokens.bob);
  const eves = Array.from({ length: options.eves ?? 1 }, (_, k) => `eve-${k + 1}`);
  // One client is missing for ever, so that no round of it begins.
  const bait = await createPlainRun(api, plainRun(eves.length + 1), sources(eves));
  let warmBytes = residentBytes(pid);
  return {
    url,
    coordinator,
    bait,
    openRound,
    warm: () => (warmBytes = residentBytes(pid)),
    expectUnharmed: async () => {
      expect(coordinator.pid).toBe(pid);
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      expect(residentBytes(pid) - warmBytes).toBeLessThan(SLACK_BYTES);
      await sendGood(url, ada);
      await sendGood(url, bob);
      await eventually('the round that waited ends', async () => {
        return (await api.run(guarded.id)).status === 'completed' ? true : null;
      });
      expectModel(await api.model(guarded.id, 1));
    },
    close: async () => {
      disconnectAll();
      await endCommands();
      await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function sources(names: readonly string[]): Record<string, 'source'> {
  return Object.fromEntries(names.map((name) => [name, 'source' as const]));
}

async function sendGood(url: string, client: RawClient): Promise<void> {
  const { value, numExamples } = GOOD[client.name as keyof typeof GOOD];
  const assignment = await client.assignment();
  const body = encode(goodUpdate(assignment, value, numExamples));
  expect(await put(url + assignment.uploadPath, body, client)).toMatchObject({ status: 201 });
}

function expectModel(file: Uint8Array): void {
  const { tensors } = decodeSafetensors(file);
  for (const [name, before] of Object.entries(initialParams)) {
    const by = name === 'vocabulary' ? 0 : MOVED;
    expect(Array.from(tensors[name].data as Float32Array)).toEqual(
      Array.from(before, (w) => Math.fround(w + by)),
    );
  }
}

/** Resident memory of a process; 0 where the system does not tell. */
function residentBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  } catch {
    return 0;
  }
}
