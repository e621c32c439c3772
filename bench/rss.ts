/**
 * Peak memory of folding 10 and 1,000 updates of a million parameters from files, each in a process
 * of its own: `tsx bench/rss.ts [--size 1000000] [K ...]`. The difference must not be the updates.
 */
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodeSafetensors } from '../protocol/safetensors.js';
import { DELTA, tensorKey } from '../protocol/update.js';
import { table } from '../server/cli/output.js';
import { blobPath } from '../server/adapters/blob-directory.js';
import { createBlockingBlobStore } from '../server/adapters/blob-blocking.js';
import { createWasmKernels } from '../server/adapters/wasm-kernels.js';
import { foldScale } from '../server/core/kernels/fold.js';
import type { BlobStore } from '../server/core/ports.js';
import { fedavg } from '../server/core/rules/fedavg.js';
import type { UpdateFacts } from '../server/core/rules/rule.js';
import { emptyState } from '../server/core/rules/rule.js';
import { openUpdate } from '../server/engine/update-file.js';
import { putBlob } from '../server/engine/checkpoints.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: 'string', default: '1000000' }, child: { type: 'string' } },
});
const size = Number(values.size);

/**
 * Files of `count` updates. They are links to one: how many are read counts, not what is in them, and
 * four gigabytes would not fit everywhere.
 */
async function writeUpdates(count: number, blobs: BlobStore, directory: string): Promise<string[]> {
  const data = Float32Array.from({ length: size }, (_, i) => ((i % 1009) - 504) / 2048);
  const tensor = { dtype: 'F32', shape: [size], data } as const;
  const { sha256 } = await putBlob(blobs, encodeSafetensors({ [tensorKey(DELTA, 'w')]: tensor }));
  return Array.from({ length: count }, (_, i) => {
    const name = i.toString(16).padStart(64, '0');
    mkdirSync(dirname(blobPath(directory, name)), { recursive: true });
    linkSync(blobPath(directory, sha256), blobPath(directory, name));
    return name;
  });
}

async function fold(count: number, directory: string): Promise<void> {
  const blobs = await createBlockingBlobStore(directory);
  const names = await writeUpdates(count, blobs, directory);
  const layout = { tensors: [{ name: 'w', start: 0, length: size }], size };
  const ctx = {
    ...{ options: {}, round: 1, numClients: count, state: emptyState, oracle: null },
    ...{ model: new Float32Array(size), layout, kernels: createWasmKernels() },
    fold: foldScale({ cohortMax: 4096, weightMax: 131_072, deltaMax: 8 }),
  };
  const sum = fedavg.begin(ctx);
  for (const [i, name] of names.entries()) {
    const facts: UpdateFacts = {
      clientId: `c${i}`,
      role: 'source',
      numExamples: 1 + (i % 100),
      numSteps: 1,
      metrics: {},
      norm: 1,
      maxAbs: 1,
      baseVersion: 0,
      staleness: 0,
    };
    await fedavg.accumulate(sum, await openUpdate(await blobs.open(name), facts, layout), ctx);
  }
  await fedavg.finish(sum, ctx);
  blobs.closeFiles();
}

function peakOf(count: number): number {
  const directory = mkdtempSync(join(tmpdir(), 'tributary-rss-'));
  const script = fileURLToPath(import.meta.url);
  const args = ['--import', 'tsx', script, '--size', String(size), '--child', directory];
  const { stdout, status } = spawnSync(process.execPath, [...args, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  rmSync(directory, { recursive: true });
  if (status !== 0) throw new Error(`folding ${count} updates ended with ${String(status)}`);
  return Number(stdout.toString());
}

if (values.child) {
  await fold(Number(positionals[0]), values.child);
  process.stdout.write(String(process.resourceUsage().maxRSS * 1024));
} else {
  const counts = positionals.length > 0 ? positionals.map(Number) : [10, 1000];
  const peaks = counts.map(peakOf);
  const rows = counts.map((count, i) => [count, (peaks[i] / 1e6).toFixed(0), peaks[i] / peaks[0]]);
  process.stdout.write(
    `${table(
      ['updates', 'peak MB', `of ${counts[0]}`],
      rows.map(([count, peak, ratio]) => [count, peak, Number(ratio).toFixed(2)]),
    )}\n`,
  );
}
