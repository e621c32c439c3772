/**
 * `npm run load`: 2,000 clients over real sockets, 200 wanted in each round. 100 rounds of which a
 * tenth of the clients drop out, 100 of which three tenths do, 1,000 (of 50 updates each, so that they
 * end) with the memory of the coordinator watched, and a kill -9 with everybody connected. Prints
 * tables; ends with 1 where a round stands still, the memory grows or clients do not come back.
 *
 *     npm run load -- [--clients 2000] [--wanted 200] [--rounds 100] [--long 1000]
 *                     [--long-wanted 50] [--processes 4] [--seed 1] [--quick] [--json FILE]
 *
 * Needs the build.
 */
import { rm, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { enterableTempDirectory } from '../../server/adapters/postgres/account.js';
import { startEmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import { connectApi } from '../../server/cli/api.js';
import { table } from '../../server/cli/output.js';
import { openDatabase } from '../../test/support/database.js';
import type { Served } from '../serve.js';
import { OPERATOR_TOKEN, kill, startServe } from '../serve.js';
import type { Played } from './play.js';
import { play } from './play.js';
import type { Storm } from './storm.js';
import { storm } from './storm.js';
import type { Memory } from './vitals.js';
import { Vitals, isFlat, memoryOf, quantile } from './vitals.js';

const { values: flags } = parseArgs({
  options: {
    clients: { type: 'string' },
    wanted: { type: 'string' },
    rounds: { type: 'string' },
    long: { type: 'string' },
    'long-wanted': { type: 'string' },
    processes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const sizes = flags.quick
  ? { clients: 100, wanted: 20, rounds: 5, long: 10, 'long-wanted': 5, processes: 2 }
  : { clients: 2000, wanted: 200, rounds: 100, long: 1000, 'long-wanted': 50, processes: 4 };
const sizeOf = (name: keyof typeof sizes): number => Number(flags[name] ?? sizes[name]);
const common = {
  clients: sizeOf('clients'),
  wanted: sizeOf('wanted'),
  processes: sizeOf('processes'),
  seed: Number(flags.seed),
};

interface Row extends Played {
  readonly memory: Memory;
  readonly loopP99Ms: number;
  readonly cpuShare: number;
}

const vitals = new Vitals();
const home = await enterableTempDirectory('tributary-load-');
const postgres = await startEmbeddedPostgres({ dataDir: `${home}/postgres` });
const serve = (port: number): Served =>
  startServe({
    env: {
      DATABASE_URL: postgres.url,
      TRIBUTARY_DATA_DIR: home,
      // All of the crowd has one address here.
      TRIBUTARY_CONNECTIONS_PER_ADDRESS: '10000',
    },
    port,
    preload: new URL('./probe.mjs', import.meta.url),
    onTold: (sample) => vitals.add(sample),
  });

let served = serve(0);
let rows: Row[];
let after: Storm;
try {
  const url = await served.ready;
  const database = await openDatabase(postgres.url);
  const stage = { api: connectApi(url, OPERATOR_TOKEN), database };
  const measured = async (
    name: string,
    rounds: number,
    dropOut: number,
    wanted: number,
  ): Promise<Row> => {
    const played = await play(stage, { ...common, name, rounds, dropOut, wanted });
    const samples = vitals.between(played.began, played.ended);
    const [first, last] = [samples[0], samples[samples.length - 1]];
    return {
      ...played,
      memory: memoryOf(samples, rounds),
      loopP99Ms: quantile(
        samples.map(({ p99 }) => p99),
        0.5,
      ),
      cpuShare: (last.cpuMs - first.cpuMs) / (last.at - first.at),
    };
  };
  rows = [
    await measured('tenth', sizeOf('rounds'), 0.1, common.wanted),
    await measured('three-tenths', sizeOf('rounds'), 0.3, common.wanted),
    await measured('long', sizeOf('long'), 0.1, sizeOf('long-wanted')),
  ];
  const port = Number(new URL(url).port);
  const options = { ...common, name: 'storm', rounds: 100_000, dropOut: 0 };
  const result = await storm(stage, options, served, () => serve(port));
  served = result.served;
  after = result.storm;
  await database.close();
} finally {
  await kill(served);
  await postgres.stop();
  await rm(home, { recursive: true, force: true });
}

const seconds = (ms: number): number => Number((ms / 1000).toFixed(2));
const head = ['drop out', 'rounds', 'closed', 'retried', 'median s', 'p95', 'max'];
const body = rows.map(({ name, rounds, closed, abandoned, roundMs }) => [
  ...[name, rounds, closed, abandoned, seconds(quantile(roundMs, 0.5))],
  ...[seconds(quantile(roundMs, 0.95)), seconds(Math.max(...roundMs))],
]);
const head2 = ['drop out', 'accepted', 'late', 'dropped', 'replaced', 'loop p99 ms', 'cpu'];
const body2 = rows.map((row) => [
  ...[row.name, row.accepted, row.late, row.dropped, row.replaced],
  ...[Math.round(row.loopP99Ms), Number(row.cpuShare.toFixed(2))],
]);
const head3 = ['drop out', 'rss MB', 'at the end', 'MB per 100 rounds'];
const body3 = rows.map(({ name, memory }) => [
  ...[name, Math.round(memory.startMb), Math.round(memory.endMb)],
  Number(memory.mbPer100Rounds.toFixed(2)),
]);
const { awayMs, backMs, busiest, clients, closedAfter } = after;
process.stdout
  .write(`${common.clients} clients, ${common.wanted} wanted in each round, ${sizeOf('long-wanted')} in the long run

${table(head, body)}

${table(head2, body2)}

${table(head3, body3)}

kill -9 with ${clients} connected: away for ${seconds(awayMs)} s, all back ${seconds(backMs)} s later,
${busiest} at most in a quarter of a second; ${closedAfter} rounds closed since
`);
if (flags.json !== undefined)
  await writeFile(
    flags.json,
    JSON.stringify({ rows, after, samples: vitals.between(0, Infinity) }),
  );
const faults = [
  ...rows.flatMap(({ name, faults }) => faults.map((what) => `${name}: ${what}`)),
  ...rows
    .filter(({ rounds, memory }) => rounds >= 1000 && !isFlat(memory))
    .map(({ name, memory }) => `${name}: grows by ${memory.mbPer100Rounds} MB in 100 rounds`),
  ...after.faults,
];
for (const fault of faults) process.stderr.write(`${fault}\n`);
process.exitCode = faults.length > 0 ? 1 : 0;
