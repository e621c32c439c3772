/**
 * `npm run faults`: kills a real coordinator on a real PostgreSQL at every boundary of a round, and
 * holds what becomes of the run against one that nothing happened to. Prints one table and ends with 1
 * where anything was lost, counted twice or differs, or a restart took too long.
 *
 *     npm run faults -- [--kills 20] [--seed 1] [--only fold] [--at-once 1] [--quick] [--json FILE]
 *
 * Needs the build.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { boundaries } from './boundaries.js';
import { killsAt } from './kills.js';
import { outages } from './outages.js';
import { faultsOf, lines } from './report.js';
import type { Disturbance, Row } from './row.js';
import { playRow, roundsFor, undisturbed } from './row.js';
import { openTheatre } from './theatre.js';

const { values: flags } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const kills = flags.quick ? 1 : Number(flags.kills);
const seed = Number(flags.seed);
/** The quick form runs beside whatever else checks run: it judges what happens, and hardly how fast. */
const slack = flags.quick ? 4 : 1;

/** So many at a time, in their order. */
async function inLanes<T, R>(items: readonly T[], lanes: number, work: (item: T) => Promise<R>) {
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i]);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

const theatre = await openTheatre();
let rows: Row[];
try {
  const reference = await undisturbed(theatre, roundsFor(kills));
  const isWanted = ({ name }: Disturbance): boolean => name.includes(flags.only);
  const play = (disturbance: Disturbance): Promise<Row> =>
    playRow(theatre, disturbance, { times: kills, seed, reference });
  rows = await inLanes(boundaries.map(killsAt).filter(isWanted), Number(flags['at-once']), play);
  // One at a time, whatever is asked for: the database is one for all.
  rows.push(...(await inLanes(outages.filter(isWanted), 1, play)));
} finally {
  await theatre.close();
}
process.stdout.write(`${lines(rows)}\n`);
if (flags.json !== undefined) await writeFile(flags.json, JSON.stringify({ seed, rows }, null, 2));
const faults = rows.flatMap((row) => faultsOf(row, slack));
for (const fault of faults) process.stderr.write(`${fault}\n`);
process.exitCode = faults.length > 0 ? 1 : 0;
