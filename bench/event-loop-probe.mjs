/**
 * Loaded into a coordinator (`node --import`): measures the delay of its event loop from one SIGUSR2
 * to the next, and writes it down, in milliseconds.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { isMainThread } from 'node:worker_threads';

const file = process.env.EVENT_LOOP_REPORT;

if (isMainThread && file) {
  let histogram = null;
  process.on('SIGUSR2', () => {
    if (histogram === null) {
      histogram = monitorEventLoopDelay({ resolution: 1 });
      histogram.enable();
      return;
    }
    histogram.disable();
    const ms = (ns) => ns / 1e6;
    const report = {
      p50: ms(histogram.percentile(50)),
      p99: ms(histogram.percentile(99)),
      max: ms(histogram.max),
    };
    histogram = null;
    // Whole or not at all: the reader waits for it to appear.
    writeFileSync(`${file}.part`, JSON.stringify(report));
    renameSync(`${file}.part`, file);
  });
}
