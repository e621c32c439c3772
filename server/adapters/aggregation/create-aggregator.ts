/** Whether this coordinator aggregates in worker threads or in its own. */
import { existsSync } from 'node:fs';
import type { AggregationParts } from '../../engine/aggregation.js';
import type { Aggregator } from '../../engine/aggregator.js';
import { inlineAggregator } from '../../engine/aggregator.js';
import type { Log } from '../../engine/engine.js';
import type { BlobLocation } from './services.js';
import { workerAggregator, workerEntry } from './worker-aggregator.js';

export interface AggregatorOptions extends AggregationParts {
  /** null where only this thread has the blobs. */
  readonly blobsAt: BlobLocation | null;
  /** 0 aggregates in this thread. */
  readonly threads: number;
  readonly limitMs: number;
  readonly log: Pick<Log, 'warn'>;
  /** The built file of the worker. */
  readonly entry?: URL;
}

/**
 * In threads wherever that can be; the log is told where it cannot. It cannot where the blobs are
 * in the memory of this thread, nor from the sources (tests, tsx): a worker starts from a file that
 * Node itself can run, and that is there once the package is built.
 */
export function createAggregator(options: AggregatorOptions): Aggregator {
  const { blobsAt, threads, limitMs, oracles, entry = workerEntry } = options;
  if (threads === 0) return inlineAggregator(options);
  if (!blobsAt) return unasked(options, 'no other thread has its blobs');
  if (!existsSync(entry)) return unasked(options, 'its worker was not built (npm run build)');
  return workerAggregator({ blobs: blobsAt, oracles, size: threads, limitMs, entry });
}

/** Said, since a large round that holds up every request looks like anything but this. */
function unasked(options: AggregatorOptions, why: string): Aggregator {
  const what = 'this coordinator aggregates in the thread that answers requests';
  options.log.warn({}, `${what}, for ${why}: a large round holds them up, and has no time limit`);
  return inlineAggregator(options);
}
