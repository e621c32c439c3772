/** Whether this coordinator aggregates in worker threads or in its own. */
import { existsSync } from 'node:fs';
import type { AggregationParts } from '../../engine/aggregation.js';
import type { Aggregator } from '../../engine/aggregator.js';
import { inlineAggregator } from '../../engine/aggregator.js';
import type { BlobLocation } from './services.js';
import { workerAggregator, workerEntry } from './worker-aggregator.js';

export interface AggregatorOptions extends AggregationParts {
  /** null where only this thread has the blobs. */
  readonly blobsAt: BlobLocation | null;
  /** 0 aggregates in this thread. */
  readonly threads: number;
  readonly limitMs: number;
}

/**
 * In threads wherever that can be. It cannot where the blobs are in the memory of this thread, nor
 * from the sources (tests, tsx): a worker starts from a file that Node itself can run, and that is
 * there once the package is built.
 */
export function createAggregator(options: AggregatorOptions): Aggregator {
  const { blobsAt, threads, limitMs, oracles } = options;
  if (threads === 0 || !blobsAt || !existsSync(workerEntry)) return inlineAggregator(options);
  return workerAggregator({ blobs: blobsAt, oracles, size: threads, limitMs });
}
