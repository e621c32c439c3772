/** Where a coordinator aggregates, and what it says where that is in its own thread. */
import { describe, expect, it } from 'vitest';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { AggregatorOptions } from '../../server/adapters/aggregation/create-aggregator.js';
import { createAggregator } from '../../server/adapters/aggregation/create-aggregator.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';

const blobsAt = { kind: 'directory', folder: '/nowhere' } as const;
/** Any file that is there. */
const entry = new URL('./support/odd-worker.mjs', import.meta.url);

/** What is logged. */
function warnings(options: Partial<AggregatorOptions>): string[] {
  const said: string[] = [];
  createAggregator({
    blobs: createMemoryBlobStore(),
    oracles: {
      describe: () => 'none',
      open: () => Promise.reject(new Error('there is none')),
    },
    kernels: referenceKernels,
    ...{ blobsAt, entry, threads: 1, limitMs: 1000 },
    log: { warn: (_, message) => said.push(message) },
    ...options,
  });
  return said;
}

describe('a coordinator that aggregates', () => {
  it('in threads, or in its own by choice, says nothing of it', () => {
    expect(warnings({})).toEqual([]);
    expect(warnings({ threads: 0 })).toEqual([]);
  });

  it.each<[string, Partial<AggregatorOptions>, RegExp]>([
    ['blobs that only this thread has', { blobsAt: null }, /no other thread has its blobs/],
    [
      'a worker that was not built',
      { entry: new URL('./nowhere.js', import.meta.url) },
      /not built \(npm run build\)/,
    ],
  ])('in its own thread for want of threads says so once: %s', (_, options, says) => {
    expect(warnings(options)).toEqual([expect.stringMatching(says)]);
  });
});
