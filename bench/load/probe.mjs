/**
 * Loaded into a coordinator before its own code. Once a second it writes to descriptor 3 what the
 * process holds in memory and how late the timers of its event loop were.
 */
import { writeSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setInterval } from 'node:timers';
import { isMainThread } from 'node:worker_threads';

const NS_A_MS = 1e6;

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const tell = () => {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const [p99, max] = [delay.percentile(99) / NS_A_MS, delay.max / NS_A_MS];
    delay.reset();
    const cpuMs = (user + system) / 1000;
    writeSync(
      3,
      `${JSON.stringify({ at: Date.now(), rss, heapUsed, external, cpuMs, p99, max })}\n`,
    );
  };
  setInterval(tell, 1000).unref();
}
