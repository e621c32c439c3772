/** The processes with the clients, seen from the bench. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cleanEnvironment } from '../serve.js';

const CROWD = fileURLToPath(new URL('./crowd.ts', import.meta.url));

const told = z.object({
  connected: z.array(z.number()),
  accepted: z.number(),
  late: z.number(),
  rejected: z.number(),
  left: z.number(),
  slept: z.number(),
});

export interface Counts {
  /** When each connection was welcomed, in ms since 1970. */
  readonly connected: readonly number[];
  readonly accepted: number;
  readonly late: number;
  readonly rejected: number;
  readonly left: number;
  readonly slept: number;
}

export interface CrowdOptions {
  readonly url: string;
  readonly tokens: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly dropOut: number;
  readonly processes: number;
}

export interface Crowds {
  counts(): Counts;
  /** Resolves when the run is over for everybody; rejects where a process fails. */
  readonly ended: Promise<void>;
  kill(): void;
}

const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export function startCrowds({ tokens, processes, ...shared }: CrowdOptions): Crowds {
  const total = { connected: [] as number[], accepted: 0, late: 0, rejected: 0, left: 0, slept: 0 };
  const add = (news: Counts): void => {
    total.connected.push(...news.connected);
    for (const key of ['accepted', 'late', 'rejected', 'left', 'slept'] as const)
      total[key] += news[key];
  };
  const entries = Object.entries(tokens);
  const children: ChildProcess[] = [];
  const ends = Array.from({ length: processes }, (_, k) => {
    const own = entries.filter((_entry, i) => i % processes === k);
    const child = spawn(process.execPath, ['--import', 'tsx', CROWD], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: cleanEnvironment(),
    });
    alive.add(child);
    children.push(child);
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-4000);
    });
    createInterface(child.stdout).on('line', (line) => add(told.parse(JSON.parse(line))));
    child.stdin.end(`${JSON.stringify({ ...shared, tokens: Object.fromEntries(own) })}\n`);
    return new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        alive.delete(child);
        if (code === 0) resolve();
        else reject(new Error(`a process of clients ended (${String(code)}):\n${complaint}`));
      });
    });
  });
  const ended = Promise.all(ends).then(() => undefined);
  ended.catch(() => undefined);
  return {
    counts: () => total,
    ended,
    kill: () => {
      for (const child of children) child.kill('SIGKILL');
    },
  };
}
