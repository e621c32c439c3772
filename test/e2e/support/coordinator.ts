/** A coordinator on a loopback port, with everything in memory but the doors, and peers by hand. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach } from 'vitest';
import type { ErrorBody } from '../../../protocol/errors.js';
import { SHA256_HEADER, failure } from '../../../protocol/http.js';
import type { Enrolled, RunSummary } from '../../../protocol/http.js';
import type { Role, RunSpecInput } from '../../../protocol/run.js';
import { encodeSafetensors } from '../../../protocol/safetensors.js';
import { DELTA, UPDATE_METADATA, tensorKey } from '../../../protocol/update.js';
import { createMemoryBlobStore } from '../../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../../server/adapters/memory-store.js';
import type { Coordinator } from '../../../server/app.js';
import type { CoordinatorOptions } from '../../../server/settings.js';
import { createCoordinator } from '../../../server/app.js';

export const OPERATOR = 'operator-token-of-the-tests';

const running: Coordinator[] = [];
const folders: string[] = [];

/** Closes what {@link startCoordinator} started in this test, or with `all` in this file. */
export function closeCoordinators(when: 'each' | 'all'): void {
  (when === 'each' ? afterEach : afterAll)(async () => {
    await Promise.all(running.splice(0).map((coordinator) => coordinator.close()));
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
}

export async function startCoordinator(options: CoordinatorOptions = {}): Promise<Coordinator> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tributary-test-'));
  folders.push(dataDir);
  const coordinator = await createCoordinator({
    store: createMemoryStore(),
    blobs: createMemoryBlobStore(),
    dataDir,
    port: 0,
    operatorToken: OPERATOR,
    log: pino({ level: process.env.TEST_LOG ?? 'silent' }),
    ...options,
  });
  running.push(coordinator);
  return coordinator;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Two shared tensors, six and two numbers. */
export const tensors = [
  { name: 'dense/kernel', shape: [3, 2] },
  { name: 'dense/bias', shape: [2] },
] as const;

export const initFile = encodeSafetensors({
  'dense/kernel': { shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
  'dense/bias': { shape: [2], data: Float32Array.of(-1, 0.5) },
});

export function runSpec(changes: Partial<RunSpecInput> = {}): RunSpecInput {
  return {
    name: 'toy',
    task: {
      name: 'toy',
      model: {
        format: 'opaque',
        body: null,
        tensors: tensors.map((t) => ({ ...t, shape: [...t.shape] })),
      },
      data: { features: { shape: [3] }, labels: { kind: 'class', classes: 2 } },
    },
    rule: { name: 'fedavg' },
    rounds: 2,
    evaluateEvery: 0,
    init: { blob: sha256(initFile) },
    ...changes,
  };
}

/** An update that moves every parameter by `step`. */
export function updateFile(assignmentId: string, step = 0.25, numExamples = 10): Uint8Array {
  return updateOf(
    assignmentId,
    [Array<number>(6).fill(step), Array<number>(2).fill(-step)],
    numExamples,
  );
}

/** An update with these values, whatever they are. */
export function updateOf(
  assignmentId: string,
  [kernel, bias]: readonly [readonly number[], readonly number[]] | readonly number[][],
  numExamples = 10,
  kernelShape: readonly number[] = [3, 2],
): Uint8Array {
  const facts = { assignmentId, numExamples, numSteps: 1, metrics: {} };
  return encodeSafetensors(
    {
      [tensorKey(DELTA, 'dense/kernel')]: { shape: kernelShape, data: Float32Array.from(kernel) },
      [tensorKey(DELTA, 'dense/bias')]: { shape: [2], data: Float32Array.from(bias) },
    },
    { [UPDATE_METADATA]: JSON.stringify(facts) },
  );
}

export type Init = Omit<RequestInit, 'body'> & { body?: BodyInit | Uint8Array | null };

/** One request with a bearer token; `null` sends none. */
export async function request(
  { url }: Pick<Coordinator, 'url'>,
  path: string,
  token: string | null,
  init: Init = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  return fetch(`${url}${path}`, { ...(init as RequestInit), headers });
}

export async function postJson(
  coordinator: Coordinator,
  path: string,
  token: string | null,
  body: unknown,
): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return request(coordinator, path, token, { method: 'POST', headers, body: JSON.stringify(body) });
}

export function putUpdate(
  coordinator: Coordinator,
  assignmentId: string,
  token: string | null,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Response> {
  return request(coordinator, `/v1/assignments/${assignmentId}/update`, token, {
    method: 'PUT',
    headers: { [SHA256_HEADER]: sha256(body), ...headers },
    body,
  });
}

/** The error of a negative answer, which must have the one shape that all of them have. */
export async function errorOf(response: Response): Promise<ErrorBody> {
  return failure.parse(await response.json()).error;
}

export async function createRun(
  coordinator: Coordinator,
  changes: Partial<RunSpecInput> = {},
): Promise<RunSummary> {
  const hash = sha256(initFile);
  await request(coordinator, `/v1/blobs/${hash}`, OPERATOR, { method: 'PUT', body: initFile });
  const response = await postJson(coordinator, '/v1/runs', OPERATOR, runSpec(changes));
  if (response.status !== 201) throw new Error(`no run: ${await response.text()}`);
  return (await response.json()) as RunSummary;
}

export async function enrol(
  coordinator: Coordinator,
  runId: string,
  name: string,
  role: Role = 'source',
): Promise<Enrolled> {
  const path = `/v1/runs/${runId}/clients`;
  const response = await postJson(coordinator, path, OPERATOR, { name, role });
  if (response.status !== 201) throw new Error(`not enrolled: ${await response.text()}`);
  return (await response.json()) as Enrolled;
}
