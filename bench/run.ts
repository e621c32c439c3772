/**
 * `npm run bench [-- --quick] [-- --json] [-- --out FILE] [-- --kernel NAME] [-- --at 100x1e6]`:
 * the speed of the kernels at several sizes, each in a process of its own and beside what it is
 * held against. Only the ratios say something about the code; the rest is about the machine.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { table } from '../server/cli/output.js';
import type { CaseResult } from './case.js';
import { residentBytes } from './resident.js';
import type { Size } from './sizes.js';
import { sizeOf } from './sizes.js';
import { subjects } from './subjects.js';

const CASE = fileURLToPath(new URL('case.ts', import.meta.url));
/** A WASM memory has no more. */
const MEMORY_MAX = 2 ** 32;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string', default: '.cache/bench.json' },
    kernel: { type: 'string', multiple: true },
    /** Rows x elements, in place of the whole table: `--at 100x1e6`. */
    at: { type: 'string', multiple: true },
  },
});

/** Numpy holds the rows once more, and makes as many numbers again of them. */
function fits([K, P]: Size): boolean {
  const bytes = residentBytes(K, P);
  return bytes < MEMORY_MAX && 4 * bytes < freemem();
}

function sizes(): Size[] {
  if (options.quick) return [[10, 20_000]];
  if (options.at) return options.at.map(sizeOf).filter(fits);
  const all = [10, 100, 1000].flatMap((K) => [1e5, 1e6, 1e7].map((P): Size => [K, P]));
  return all.filter(fits);
}

function runCase(kernel: string, [K, P]: Size): Promise<CaseResult> {
  const repetitions = options.quick ? 1 : 5;
  const args = ['--import', 'tsx', CASE, kernel, ...[K, P, repetitions].map(String)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(Buffer.concat(chunks).toString()) as CaseResult);
      else reject(new Error(`${kernel} at K = ${K}, P = ${P} ended with ${String(code)}`));
    });
  });
}

const head = ['K', 'P', 'GB/s', 'of reading', 'x plain JS', 'x numpy', 'peak MB'];

function cells({ K, P, bytesPerSecond, peakRssBytes }: CaseResult): string[] {
  const { read, ours, plain, ...numpy } = bytesPerSecond;
  const against = Object.entries(numpy).map(([name, each]) =>
    Object.keys(numpy).length > 1 ? `${name} ${times(ours / each)}` : times(ours / each),
  );
  return [
    ...[String(K), P.toExponential(0).replace('+', '')],
    ...[(ours / 1e9).toFixed(2), (ours / read).toFixed(2), times(ours / plain)],
    ...[against.join(', ') || '-', String(Math.round(peakRssBytes / 1e6))],
  ];
}

function times(ratio: number): string {
  return ratio.toFixed(ratio < 10 ? 1 : 0);
}

function say(text: string): void {
  if (!options.json) process.stdout.write(text);
}

const results: CaseResult[] = [];
for (const { name } of subjects) {
  if (options.kernel && !options.kernel.includes(name)) continue;
  const rows: CaseResult[] = [];
  for (const size of sizes()) rows.push(await runCase(name, size));
  results.push(...rows);
  say(`${name}\n${table(head, rows.map(cells))}\n\n`);
}
const machine = { cpu: cpus()[0].model, threads: availableParallelism(), node: process.version };
const report = `${JSON.stringify({ machine, results }, null, 2)}\n`;
mkdirSync(dirname(options.out), { recursive: true });
writeFileSync(options.out, report);
if (options.json) process.stdout.write(report);
say(`CPU time on one thread, medians of five in turns; written to ${options.out}\n`);
