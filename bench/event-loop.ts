/**
 * How long a coordinator's event loop stands still while it aggregates 100 updates of a million
 * parameters: in worker threads, and beside them in its own thread. A real process, real uploads;
 * /healthz is asked without a pause meanwhile. Prints a table for docs/measured.md:
 * `npm run measure:event-loop -- [--updates 100] [--size 1000000] [--rules fedavg,median] [--json]`.
 * Needs the build, and 400 MB of disk.
 */
import { chmod, mkdtemp, readFile, rm, watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { io } from 'socket.io-client';
import { z } from 'zod';
import { SHA256_HEADER } from '../protocol/http.js';
import { assignment, PROTOCOL_VERSION } from '../protocol/messages.js';
import { encodeSafetensors } from '../protocol/safetensors.js';
import { UPDATE_METADATA } from '../protocol/update.js';
import { print, table } from '../server/cli/output.js';
import { randomStream } from '../server/core/random.js';
import type { CoordinatorProcess } from '../test/support/coordinator-process.js';
import { serveProcess } from '../test/support/coordinator-process.js';
import { sha256 } from '../test/support/raw-client.js';

const { values: flags } = parseArgs({
  options: {
    updates: { type: 'string', default: '100' },
    size: { type: 'string', default: '1000000' },
    rules: { type: 'string', default: 'fedavg,median' },
    json: { type: 'boolean', default: false },
  },
});
const UPDATES = Number(flags.updates);
const SIZE = Number(flags.size);

const report = z.object({ p50: z.number(), p99: z.number(), max: z.number() });

interface Row extends z.infer<typeof report> {
  readonly rule: string;
  readonly threads: number;
  /** Of the aggregation, from the last receipt to the commit. */
  readonly ms: number;
  /** Requests to /healthz that were answered meanwhile, and the slowest. */
  readonly answered: number;
  readonly slowestMs: number;
}

const noise = Float32Array.from(
  { length: SIZE + UPDATES },
  ((random) => () => {
    return (random.uniform() - 0.5) / 8;
  })(randomStream('event loop')),
);

/** Each client's noise begins one value further on: no two are alike. */
function updateFile(assignmentId: string, k: number): Uint8Array {
  const facts = { assignmentId, numExamples: 10 + k, numSteps: 1, metrics: {} };
  const data = noise.slice(k, k + SIZE);
  const tensors = { 'delta/all': { shape: [SIZE], data } };
  return encodeSafetensors(tensors, { [UPDATE_METADATA]: JSON.stringify(facts) });
}

async function createRun({ api }: CoordinatorProcess, rule: string): Promise<string> {
  const zeros = { all: { shape: [SIZE], data: new Float32Array(SIZE) } };
  const blob = await api.putBlob(encodeSafetensors(zeros));
  const tensors = [{ name: 'all', shape: [SIZE] }];
  const run = await api.createRun({
    name: 'event-loop',
    task: {
      name: 'event-loop',
      model: { format: 'opaque', body: {}, tensors },
      data: { features: { shape: [1] }, labels: { kind: 'value' } },
    },
    rule: { name: rule },
    init: { blob },
    rounds: 1,
    evaluateEvery: 0,
    cohort: { size: UPDATES, waitMs: 600_000 },
    quorum: { min: UPDATES, share: 1 },
  });
  return run.id;
}

interface Member {
  readonly token: string;
  readonly assignmentId: Promise<string>;
  readonly weighed: Promise<void>;
  leave(): void;
}

async function joinRun({ api, url }: CoordinatorProcess, run: string, k: number): Promise<Member> {
  const { token } = await api.enrol(run, `client-${k}`, 'source');
  const socket = io(url, { auth: { token }, forceNew: true, reconnection: false });
  const heard = (event: string): Promise<unknown> =>
    new Promise((resolve) => socket.on(event, resolve));
  const member = {
    token,
    assignmentId: heard('assignment').then((message) => assignment.parse(message).id),
    weighed: heard('weighed').then(() => undefined),
    leave: () => void socket.disconnect(),
  };
  await heard('connect');
  await socket.emitWithAck('hello', {
    ...{ protocolVersion: PROTOCOL_VERSION, sdkVersion: 'bench', trains: true },
  });
  return member;
}

async function upload(url: string, { token, assignmentId }: Member, k: number): Promise<void> {
  const id = await assignmentId;
  const body = updateFile(id, k);
  const response = await fetch(`${url}/v1/assignments/${id}/update`, {
    method: 'PUT',
    body: body as Uint8Array<ArrayBuffer>,
    headers: { authorization: `Bearer ${token}`, [SHA256_HEADER]: sha256(body) },
  });
  if (!response.ok) throw new Error(await response.text());
}

/** Asks one request after the other until it is told to stop. */
function keepAsking(url: string): { stop: () => Promise<Pick<Row, 'answered' | 'slowestMs'>> } {
  const counts = { answered: 0, slowestMs: 0 };
  let isOver = false;
  const ask = async (): Promise<void> => {
    while (!isOver) {
      const begun = performance.now();
      await (await fetch(`${url}/healthz`)).arrayBuffer();
      counts.slowestMs = Math.max(counts.slowestMs, performance.now() - begun);
      counts.answered += 1;
    }
  };
  const asking = ask();
  return {
    stop: async () => {
      isOver = true;
      await asking;
      return counts;
    },
  };
}

async function measure(rule: string, threads: number): Promise<Row> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tributary-event-loop-'));
  // The embedded server is another user's where the bench is root's.
  await chmod(dataDir, 0o711);
  const reportFile = join(dataDir, 'report.json');
  const probe = new URL('./event-loop-probe.mjs', import.meta.url);
  const env = {
    NODE_OPTIONS: `--import ${probe.href}`,
    EVENT_LOOP_REPORT: reportFile,
    TRIBUTARY_AGGREGATION_THREADS: String(threads),
  };
  const coordinator = await serveProcess({ dataDir, env });
  try {
    const run = await createRun(coordinator, rule);
    const members: Member[] = [];
    for (let k = 0; k < UPDATES; k++) members.push(await joinRun(coordinator, run, k));
    for (const [k, member] of members.entries()) await upload(coordinator.url, member, k);
    process.kill(coordinator.pid, 'SIGUSR2');
    const begun = performance.now();
    const asking = keepAsking(coordinator.url);
    await members[0].weighed;
    const ms = performance.now() - begun;
    const written = appeared(dataDir, 'report.json');
    process.kill(coordinator.pid, 'SIGUSR2');
    await written;
    const delays = report.parse(JSON.parse(await readFile(reportFile, 'utf8')));
    for (const member of members) member.leave();
    return { rule, threads, ms, ...delays, ...(await asking.stop()) };
  } finally {
    await coordinator.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function appeared(folder: string, name: string): Promise<void> {
  for await (const { filename } of watch(folder)) if (filename === name) return;
}

const rows: Row[] = [];
for (const rule of flags.rules.split(',')) {
  for (const threads of [2, 0]) rows.push(await measure(rule, threads));
}

function lines(all: readonly Row[]): string {
  const head = ['rule', 'in', 'ms', 'p50', 'p99', 'max', '/healthz', 'slowest'];
  const body = all.map((row) => [
    ...[row.rule, row.threads > 0 ? 'workers' : 'its thread', Math.round(row.ms)],
    ...[row.p50, row.p99, row.max].map((value) => Number(value.toFixed(1))),
    ...[row.answered, Math.round(row.slowestMs)],
  ]);
  return `${table(head, body)}
delay of the coordinator's event loop in ms while it aggregates ${UPDATES} updates of
${SIZE} parameters, by a timer of 1 ms; requests answered meanwhile, the slowest in ms`;
}

print(rows, flags.json, lines);
