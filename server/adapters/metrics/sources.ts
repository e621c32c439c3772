/** Gauges that are looked up when somebody reads the metrics. */
import { Gauge, type Registry } from 'prom-client';
import type { RunStatus } from '../../../protocol/run.js';
import { runStatus } from '../../../protocol/run.js';
import { setOrLeaveOut } from './process.js';

export interface Sources {
  /** How many runs have which status. */
  readonly runs: () => Promise<Partial<Record<RunStatus, number>>>;
  readonly connections: () => { readonly sockets: number; readonly clients: number };
  /** The number of this leadership; null while another coordinator leads. */
  readonly epoch: () => number | null;
  /** Bytes of blobs and of uploads under way; null where nobody counts them. */
  readonly storage: () => { readonly usedBytes: number; readonly limitBytes: number } | null;
}

export function addGauges(registry: Registry, sources: Sources): void {
  addRunsGauge(registry, sources);
  const gauges: [name: string, help: string, value: () => number | null][] = [
    ['clients_present', 'Clients that have said hello', () => sources.connections().clients],
    ['sockets', 'Sockets that are connected', () => sources.connections().sockets],
    ['leading', '1 where this coordinator leads', () => (sources.epoch() === null ? 0 : 1)],
    ['leadership_epoch', 'Number of the leadership that this coordinator has', sources.epoch],
    [
      'storage_used_bytes',
      'Bytes of blobs and uploads',
      () => sources.storage()?.usedBytes ?? null,
    ],
    ['storage_limit_bytes', 'Most that they may be', () => sources.storage()?.limitBytes ?? null],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name: `tributary_${name}`,
      help,
      registers: [registry],
      collect() {
        setOrLeaveOut(this, value());
      },
    });
  }
}

function addRunsGauge(registry: Registry, { runs }: Sources): void {
  new Gauge({
    name: 'tributary_runs',
    help: 'Runs by status',
    labelNames: ['status'],
    registers: [registry],
    async collect() {
      // A database that is away must not take the other metrics along: they tell why.
      const counts = await runs().catch(() => null);
      this.reset();
      if (!counts) return;
      for (const status of runStatus.options) this.set({ status }, counts[status] ?? 0);
    },
  });
}
