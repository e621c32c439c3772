/**
 * `npm run bench:threads [-- --quick] [-- --threads 2] [-- --at 100x1e6] [-- --json]`: the exact fold on
 * one thread and on several, as the aggregation shares it out, beside the same threads reading the
 * same bytes with a SIMD sum; and a whole aggregation by a pool of one thread and of several. One
 * process, time by the clock on the wall, candidates in turns. Needs the build, and 400 MB of disk.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { print, table } from '../server/cli/output.js';
import { interleaved } from './measure.js';
import type { Size } from './sizes.js';
import { sizeOf } from './sizes.js';
import { aggregationSeconds } from './threads/round.js';
import { Team } from './threads/team.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
    at: { type: 'string', multiple: true, default: ['100x1e5', '100x1e6', '40x1e7'] },
  },
});

/** So much is read in one go: far more than what starting and stopping the threads takes. */
const BYTES_A_RUN = options.quick ? 1e7 : 2e9;

interface Row {
  readonly K: number;
  readonly P: number;
  readonly threads: number;
  /** Bytes of updates a second. */
  readonly read: number;
  readonly fold: number;
}

async function measure([K, P]: Size, counts: readonly number[]): Promise<Row[]> {
  const teams: Team[] = [];
  for (const threads of counts) teams.push(await Team.start(threads, K, P));
  const times = Math.max(1, Math.round(BYTES_A_RUN / (4 * K * P)));
  const candidates = teams.flatMap((team, i) =>
    (['readSum', 'fold'] as const).map((kernel) => {
      return [`${kernel} ${counts[i]}`, () => team.run(kernel, times)] as const;
    }),
  );
  const repetitions = options.quick ? 1 : 5;
  const seconds = await interleaved(Object.fromEntries(candidates), { repetitions, warmUp: 2 });
  await Promise.all(teams.map((team) => team.end()));
  const speed = (name: string): number => (4 * K * P) / seconds[name];
  return counts.map((threads) => {
    return { K, P, threads, read: speed(`readSum ${threads}`), fold: speed(`fold ${threads}`) };
  });
}

const counts = [...new Set([1, Number(options.threads)])];
const rows: Row[] = [];
for (const at of options.quick ? ['8x1e5'] : options.at) {
  rows.push(...(await measure(sizeOf(at), counts)));
}
const round = options.quick ? { updates: 8, size: 100_000 } : { updates: 100, size: 1_000_000 };
const seconds = await aggregationSeconds(round, counts, options.quick ? 1 : 5);

const machine = { cpu: cpus()[0].model, threads: availableParallelism(), node: process.version };
const aggregation = { ...round, rule: 'fedavg', seconds };
print({ machine, rows, aggregation }, options.json, () => `${kernelTable()}\n\n${roundTable()}`);

function kernelTable(): string {
  const cells = rows.map(({ K, P, threads, read, fold }) => [
    ...[String(K), P.toExponential(0).replace('+', ''), String(threads)],
    ...[(read / 1e9).toFixed(2), (fold / 1e9).toFixed(2), (fold / read).toFixed(2)],
  ]);
  return table(['K', 'P', 'threads', 'read GB/s', 'fold GB/s', 'of reading'], cells);
}

function roundTable(): string {
  const cells = counts.map((threads) => [
    ...[String(threads), (1000 * seconds[threads]).toFixed(0)],
    (seconds[threads] / seconds[counts[0]]).toFixed(2),
  ]);
  const what = `fedavg over ${round.updates} updates of ${round.size} parameters, from its files`;
  return `${what}\n${table(['threads', 'ms', 'of one thread'], cells)}`;
}
