/**
 * What a coordinator counts, for Prometheus: docs/metrics.md says what each name means. The registry
 * is this coordinator's own, so that several fit into one process.
 *
 * Labels are bounded: codes, statuses and patterns of routes, never an id, else every client would
 * leave a time series behind for ever.
 */
import { Registry } from 'prom-client';
import type { Receipt } from '../../protocol/update.js';
import type { Meter } from '../engine/meter.js';
import { type Counters, counters } from './metrics/counters.js';
import { addProcessGauges } from './metrics/process.js';
import { addGauges, type Sources } from './metrics/sources.js';

/** A request that was answered. */
export interface AnsweredRequest {
  readonly method: string;
  /** The pattern of its route, such as `/v1/runs/:run`. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

export interface Metrics extends Meter {
  answered(request: AnsweredRequest): void;
  /** By its code, where a peer was told no: an answer to a request, or to a socket. */
  refused(entrance: 'http' | 'socket', code: string): void;
  received(receipt: Pick<Receipt, 'status' | 'error' | 'duplicate'>): void;
  /** An update that was spooled whole. */
  uploaded(bytes: number, seconds: number): void;
  /** A round whose aggregation began. @returns to be called when it ends, well or not. */
  aggregating(): (outcome: 'done' | 'failed') => void;
  /** What is looked up when somebody reads the metrics; once, when the coordinator is put together. */
  watch(sources: Sources): void;
  /** The text for Prometheus. What cannot be found out at the moment is left out of it. */
  text(): Promise<{ readonly contentType: string; readonly body: string }>;
  close(): Promise<void>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const count = counters(registry);
  const stopProcess = addProcessGauges(registry);
  return {
    ...recording(count),
    watch: (sources) => addGauges(registry, sources),
    text: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
    close: () => {
      stopProcess();
      return Promise.resolve();
    },
  };
}

type Recording = Omit<Metrics, 'watch' | 'text' | 'close'>;

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'OPTIONS', 'DELETE', 'PATCH']);

function recording(count: Counters): Recording {
  return {
    answered: ({ method, route, status, seconds }) => {
      // Node takes some thirty methods, and a peer could send them all.
      const known = METHODS.has(method) ? method : 'other';
      count.requests.inc({ method: known, route, status: String(status) });
      count.requestSeconds.observe({ route }, seconds);
    },
    refused: (entrance, code) => count.refusals.inc({ entrance, code }),
    received: ({ status, error, duplicate }) => {
      count.receipts.inc({ status: duplicate ? 'duplicate' : status, code: error?.code ?? '' });
    },
    uploaded: (bytes, seconds) => {
      count.uploadBytes.observe(bytes);
      count.uploadSeconds.observe(seconds);
    },
    roundEnded: (outcome) => count.rounds.inc({ outcome }),
    aggregating: () => {
      count.aggregating.inc();
      const stop = count.aggregationSeconds.startTimer();
      return (outcome) => {
        count.aggregating.dec();
        stop({ outcome });
      };
    },
    collected: (blobs) => count.collectedBlobs.inc(blobs),
  };
}
