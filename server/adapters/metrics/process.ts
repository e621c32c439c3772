/** What the process itself is like: memory, files, and how late the event loop is. */
import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

const NANOSECONDS = 1e9;
const QUANTILES = [0.5, 0.99, 1] as const;

/** @returns ends the measuring. */
export function addProcessGauges(registry: Registry): () => void {
  const registers = [registry];
  new Gauge({
    name: 'tributary_resident_memory_bytes',
    help: 'Memory of the process, without that of an embedded database',
    registers,
    collect() {
      setOrLeaveOut(this, residentBytes());
    },
  });
  new Gauge({
    name: 'tributary_open_files',
    help: 'File descriptors in use: connections, blobs, database',
    registers,
    async collect() {
      setOrLeaveOut(this, await openFiles());
    },
  });
  return addEventLoopLag(registry);
}

export function setOrLeaveOut(gauge: Gauge, value: number | null): void {
  // Not reset(): without labels that makes it 0.
  if (value === null) gauge.remove();
  else gauge.set(value);
}

/** Past the limit of open files `memoryUsage` throws EMFILE, at the very time when it is looked at. */
function residentBytes(): number | null {
  try {
    return process.memoryUsage.rss();
  } catch {
    return null;
  }
}

/** null where the system does not tell, or has no file left to tell it with. */
async function openFiles(): Promise<number | null> {
  try {
    return (await readdir('/proc/self/fd')).length;
  } catch {
    return null;
  }
}

function addEventLoopLag(registry: Registry): () => void {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  new Gauge({
    name: 'tributary_event_loop_lag_seconds',
    help: 'How late timers came since the last look, by quantile',
    labelNames: ['quantile'],
    registers: [registry],
    collect() {
      for (const quantile of QUANTILES) {
        const delay = delays.percentile(quantile * 100) / NANOSECONDS;
        // Nothing was measured yet where two look at the same time.
        if (Number.isFinite(delay)) this.set({ quantile: String(quantile) }, delay);
      }
      delays.reset();
    },
  });
  return () => delays.disable();
}
