/** One life of a coordinator: `tributary serve` as it ships, with trap.mjs before it. */
import { z } from 'zod';
import type { Served } from '../serve.js';
import { startServe } from '../serve.js';
import type { Trap } from './boundaries.js';

const TRAP = new URL('./trap.mjs', import.meta.url);

/** What trap.mjs tells. */
const told = z.union([
  z.object({ progress: z.enum(['receipt', 'commit']) }),
  z.object({ killed: z.string() }),
  z.object({ refused: z.literal('ENOSPC') }),
]);

export interface LifeOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly trap: Trap | null;
}

export interface Times {
  /** From the start of the process, in milliseconds; null where it did not come so far. */
  readonly readyMs: number | null;
  /** To the first receipt or commit. */
  readonly progressMs: number | null;
}

export interface Life extends Served {
  /** The point at which the trap killed it; null where it did not, or not yet. */
  killedAt(): string | null;
  times(): Times;
  /** Writes that failed for want of room. */
  refused(): number;
  /** Resolves with the first receipt or commit. */
  readonly progressed: Promise<void>;
  /** Resolves with the next one from now on. */
  nextProgress(): Promise<void>;
}

export function startLife({ env, port, trap }: LifeOptions): Life {
  const began = performance.now();
  let readyMs: number | null = null;
  let progressMs: number | null = null;
  let point: string | null = null;
  let refusals = 0;
  const waiting = new Set<() => void>();
  const nextProgress = (): Promise<void> => new Promise((resolve) => waiting.add(resolve));
  const progressed = nextProgress();
  const served = startServe({
    env: trap ? { ...env, FAULTS_TRAP: JSON.stringify(trap) } : env,
    port,
    preload: TRAP,
    onTold: (raw) => {
      const message = told.parse(raw);
      if ('killed' in message) point = message.killed;
      if ('refused' in message) refusals += 1;
      if (!('progress' in message)) return;
      progressMs ??= performance.now() - began;
      for (const resolve of waiting) resolve();
      waiting.clear();
    },
  });
  served.ready.then(
    () => (readyMs = performance.now() - began),
    () => undefined,
  );
  const times = (): Times => ({ readyMs, progressMs });
  const [killedAt, refused] = [() => point, () => refusals];
  return { ...served, killedAt, refused, times, progressed, nextProgress };
}
