/**
 * One row of the table: a run that is disturbed in one way, again and again, and what became of it.
 * Whatever goes wrong on the way, the audit is held: a run that stands still has lost something too.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { checkpointsOf } from '../../test/support/database.js';
import { kill } from '../serve.js';
import type { Verdict } from './audit.js';
import { audit } from './audit.js';
import { ROUNDS_A_LIFE } from './boundaries.js';
import type { ClientGroup } from './client-group.js';
import { startClients } from './client-group.js';
import type { Life, LifeOptions } from './coordinator.js';
import { startLife } from './coordinator.js';
import { examples } from './task.js';
import type { CreatedRun, Stage, Theatre } from './theatre.js';
import { createRun } from './theatre.js';

/** A way to disturb a run. */
export interface Disturbance {
  readonly name: string;
  /** How long it may take until the run goes on, in milliseconds. */
  readonly limitMs: number;
  /** Done no more often than that; as often as everything else where nothing is said. */
  readonly most?: number;
  /** Addresses that the clients know of. */
  readonly replicas?: number;
  /** What every coordinator of it is configured with, beside the stage's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Does it so many times; returns when the run may go on to its end. */
  readonly play: (scene: Scene) => Promise<void>;
}

/** What a disturbance works with, and writes its findings to. */
export interface Scene {
  readonly theatre: Theatre;
  readonly stage: Stage;
  readonly run: CreatedRun;
  /** Where the clients look for a coordinator; one of them where nothing else is said. */
  readonly urls: readonly string[];
  readonly clients: ClientGroup;
  readonly times: number;
  readonly seed: number;
  readonly found: Findings;
  /** Starts a coordinator where the clients look for it; it is killed when the scene ends. */
  readonly start: (options?: Partial<LifeOptions>) => Life;
}

export interface Findings {
  /** Disturbances that really took place, by what was done. */
  readonly done: Record<string, number>;
  /** From the end of each disturbance (the start of the next process, say) to the next receipt or commit. */
  readonly recoveryMs: number[];
  /** From the start of each next process to its first answer. */
  readonly readyMs: number[];
}

export interface Row extends Verdict, Findings {
  readonly name: string;
  readonly times: number;
  readonly limitMs: number;
  /** Why the row says less than it should; empty where all went as planned. */
  readonly failures: readonly string[];
  readonly seconds: number;
}

export interface RowOptions {
  readonly times: number;
  readonly seed: number;
  /** Checkpoints of the run that nothing happened to. */
  readonly reference: readonly string[];
}

/** Nothing that a coordinator is waited for here takes so long, not on a busy machine either. */
const PATIENCE_MS = 150_000;

/** Rounds of every run, so that one reference is good for all. */
export function roundsFor(times: number): number {
  return ROUNDS_A_LIFE * times + 2;
}

export async function playRow(
  theatre: Theatre,
  disturbance: Disturbance,
  { seed, reference, ...options }: RowOptions,
): Promise<Row> {
  const began = performance.now();
  const { name, limitMs, most = Infinity, replicas = 1 } = disturbance;
  const times = Math.min(options.times, most);
  const stage = await theatre.stage(disturbance.env);
  const lives: Life[] = [];
  const found: Findings = { done: {}, recoveryMs: [], readyMs: [] };
  let clients: ClientGroup | undefined;
  try {
    // As many rounds as all have, so that one reference is good for all.
    const { run, url } = await prepare(stage, roundsFor(options.times));
    const urls = [url, ...(await freeUrls(replicas - 1))];
    clients = startClients(urls, run.tokens);
    const start = (given: Partial<LifeOptions> = {}): Life => {
      const port = Number(new URL(url).port);
      const env = { ...stage.env, ...given.env };
      const life = startLife({ port, trap: null, ...given, env });
      lives.push(life);
      return life;
    };
    const scene = { theatre, stage, run, urls, clients, times, seed, found, start };
    const failures = await failuresOf(disturbance, scene);
    const { receipts } = clients;
    const evidence = { runId: run.id, receipts, examples, reference };
    const verdict = await audit(await stage.database(), evidence);
    const seconds = (performance.now() - began) / 1000;
    return { name, times, limitMs, ...found, ...verdict, failures, seconds };
  } finally {
    clients?.kill();
    await Promise.all(lives.map(kill));
    await stage.close();
  }
}

/** Plays to the end of the run; says what went otherwise than planned. */
async function failuresOf(disturbance: Disturbance, scene: Scene): Promise<string[]> {
  try {
    await disturbance.play(scene);
    requireCompleted(await patiently('the end of the run', scene.clients.ended));
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** The run that nothing happens to: its checkpoints. */
export async function undisturbed(theatre: Theatre, rounds: number): Promise<readonly string[]> {
  const stage = await theatre.stage();
  const life = startLife({ env: stage.env, port: 0, trap: null });
  try {
    const url = await life.ready;
    const run = await createRun(url, rounds);
    requireCompleted(await startClients([url], run.tokens).ended);
    return await checkpointsOf(await stage.database(), run.id);
  } finally {
    await kill(life);
    await stage.close();
  }
}

/** The run is created before anything is armed: it is its rounds that are on trial. */
async function prepare(stage: Stage, rounds: number): Promise<{ run: CreatedRun; url: string }> {
  const life = startLife({ env: stage.env, port: 0, trap: null });
  try {
    const url = await life.ready;
    return { run: await createRun(url, rounds), url };
  } finally {
    await kill(life);
  }
}

async function freeUrls(many: number): Promise<string[]> {
  const servers = Array.from({ length: many }, () => createServer().listen(0, '127.0.0.1'));
  return Promise.all(
    servers.map(async (server) => {
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      server.close();
      return `http://127.0.0.1:${port}`;
    }),
  );
}

/** @throws Error where it takes longer than anything may. */
export async function patiently<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`stood still: waited ${PATIENCE_MS / 1000} s for ${what}`));
    }, PATIENCE_MS);
  });
  try {
    return await Promise.race([work, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

export function count(done: Record<string, number>, what: string): void {
  done[what] = (done[what] ?? 0) + 1;
}

function requireCompleted(statuses: Readonly<Record<string, string>>): void {
  const others = Object.entries(statuses).filter(([, status]) => status !== 'completed');
  if (others.length > 0 || Object.keys(statuses).length === 0) {
    throw new Error(`the run did not complete: ${JSON.stringify(statuses)}`);
  }
}
