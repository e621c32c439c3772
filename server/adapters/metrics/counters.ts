/** Counters and histograms: what happens is counted when it happens. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type Counters = ReturnType<typeof counters>;

const SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];
const BYTES = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

export function counters(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'tributary_http_requests_total',
      help: 'Requests answered, by method, route and status',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'tributary_http_request_duration_seconds',
      help: 'From the first byte of a request to the last of its answer',
      labelNames: ['route'],
      buckets: SECONDS,
      registers,
    }),
    refusals: new Counter({
      name: 'tributary_refusals_total',
      help: 'Errors that peers were answered, by entrance and code',
      labelNames: ['entrance', 'code'],
      registers,
    }),
    receipts: new Counter({
      name: 'tributary_receipts_total',
      help: 'Receipts given for updates, by status and code',
      labelNames: ['status', 'code'],
      registers,
    }),
    uploadBytes: new Histogram({
      name: 'tributary_upload_bytes',
      help: 'Sizes of the updates that were received whole',
      buckets: BYTES,
      registers,
    }),
    uploadSeconds: new Histogram({
      name: 'tributary_upload_duration_seconds',
      help: 'How long the updates took that were received whole',
      buckets: SECONDS,
      registers,
    }),
    rounds: new Counter({
      name: 'tributary_rounds_total',
      help: 'Rounds that this coordinator committed or abandoned',
      labelNames: ['outcome'],
      registers,
    }),
    aggregating: new Gauge({
      name: 'tributary_aggregations_in_progress',
      help: 'Rounds that are aggregated, or wait for a thread to be',
      registers,
    }),
    aggregationSeconds: new Histogram({
      name: 'tributary_aggregation_duration_seconds',
      help: 'How long rounds took to be aggregated, waiting for a thread included',
      labelNames: ['outcome'],
      buckets: SECONDS,
      registers,
    }),
    collectedBlobs: new Counter({
      name: 'tributary_blobs_collected_total',
      help: 'States, old models and orphans that were deleted; updates go with their round',
      registers,
    }),
  };
}
