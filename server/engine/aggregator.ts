/** Who turns the accepted updates of a round into its result: this thread, or another one. */
import type { AggregationInput, AggregationParts, AggregationResult } from './aggregation.js';
import { aggregate } from './aggregation.js';

/** The port behind which rounds are aggregated. Adapters put it into worker threads. */
export interface Aggregator {
  /**
   * Runs the rule and the server optimizer, and stores the new model and state as blobs. Nothing
   * counts until the caller commits the result; doing it again is harmless.
   *
   * @param signal Aborted where the result is of no use any more. It may come all the same.
   * @throws TributaryError `storage_unavailable`, `storage_full` or `blob_damaged` where it may be tried
   * again as it is: a storage or a worker that is away. Anything else would fail the same way again.
   */
  aggregate(input: AggregationInput, signal?: AbortSignal): Promise<AggregationResult>;
  /** What is under way fails with `storage_unavailable`, and is begun again after the next start. */
  close(): Promise<void>;
}

/** Aggregates in this thread, to the end in any case: for tests, simulations, and storage that only this process sees. */
export function inlineAggregator(parts: AggregationParts): Aggregator {
  return {
    aggregate: (input) => aggregate(input, parts),
    close: () => Promise.resolve(),
  };
}
