/** A whole aggregation (updates verified, folded, the model stored) by pools of several sizes. Needs the build. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workerAggregator } from '../../server/adapters/aggregation/worker-aggregator.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import type { LargeRoundOptions } from '../../test/support/large-round.js';
import { largeRound } from '../../test/support/large-round.js';
import { interleaved } from '../measure.js';

const ENTRY = new URL('../../dist/server/adapters/aggregation/worker.js', import.meta.url);
const LIMIT_MS = 600_000;

const oracles = {
  describe: () => 'none',
  open: () => Promise.reject(new Error('no rule of this bench asks an oracle')),
};

/** Seconds by the clock on the wall, by the number of threads. */
export async function aggregationSeconds(
  round: LargeRoundOptions,
  threads: readonly number[],
  repetitions: number,
): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'));
  const input = await largeRound(await createDirectoryBlobStore(folder), round);
  const blobs = { kind: 'directory', folder } as const;
  const pools = threads.map((size) =>
    workerAggregator({ blobs, oracles, size, limitMs: LIMIT_MS, entry: ENTRY }),
  );
  const timed = async (pool: (typeof pools)[number]): Promise<number> => {
    const begun = performance.now();
    await pool.aggregate(input);
    return (performance.now() - begun) / 1000;
  };
  const candidates = pools.map((pool, i) => [String(threads[i]), () => timed(pool)] as const);
  try {
    return await interleaved(Object.fromEntries(candidates), { repetitions, warmUp: 2 });
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
    await rm(folder, { recursive: true });
  }
}
