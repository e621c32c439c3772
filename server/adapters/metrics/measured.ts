/** Ports with their work counted, by those who put them together. */
import type { Aggregator } from '../../engine/aggregator.js';
import type { Metrics } from '../metrics.js';

/** Times aggregations. */
export function measuredAggregator(
  aggregator: Aggregator,
  metrics: Pick<Metrics, 'aggregating'>,
): Aggregator {
  return {
    aggregate: async (input, signal) => {
      const ended = metrics.aggregating();
      try {
        const result = await aggregator.aggregate(input, signal);
        ended('done');
        return result;
      } catch (error) {
        ended('failed');
        throw error;
      }
    },
    close: () => aggregator.close(),
  };
}
