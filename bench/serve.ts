/** `tributary serve` as a child of a bench, with a module loaded before it that watches it from inside. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const TRIBUTARY = fileURLToPath(new URL('../bin/tributary.js', import.meta.url));
export const OPERATOR_TOKEN = 'operator-token-of-the-bench';

export interface ServeOptions {
  readonly env: Readonly<Record<string, string>>;
  /** 0 takes any free port. */
  readonly port: number;
  /** Loaded first, in worker threads too; writes lines of JSON to descriptor 3. */
  readonly preload: URL;
  readonly onTold: (message: unknown) => void;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Served {
  readonly pid: number;
  /** Its address, when it takes requests. Rejects where it ends before. */
  readonly ready: Promise<string>;
  readonly ended: Promise<Ended>;
  signal(signal: NodeJS.Signals): void;
  /** The last of what it wrote to standard error. */
  complaint(): string;
}

const alive = new Set<ChildProcess>();
// Also where the bench itself ends early.
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export function startServe({ env, port, preload, onTold }: ServeOptions): Served {
  const child = spawn(process.execPath, [TRIBUTARY, 'serve'], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: {
      ...cleanEnvironment(),
      TRIBUTARY_PORT: String(port),
      TRIBUTARY_OPERATOR_TOKEN: OPERATOR_TOKEN,
      TRIBUTARY_LOG_LEVEL: 'error',
      NODE_OPTIONS: `--import ${preload.href}`,
      ...env,
    },
  });
  alive.add(child);
  let complaint = '';
  streamOf(child, 2).on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4000);
  });
  createInterface(streamOf(child, 3)).on('line', (line) => onTold(JSON.parse(line)));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    // `close`, not `exit`: what it told has been read by then.
    child.once('close', (code, signal) => {
      alive.delete(child);
      resolve({ code, signal });
    });
  });
  const ready = new Promise<string>((resolve, reject) => {
    createInterface(streamOf(child, 1)).on('line', (line) => {
      const address = / at (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    ended.then(() => reject(new Error(`the coordinator ended:\n${complaint}`)), reject);
  });
  ready.catch(() => undefined);
  return {
    pid: child.pid ?? -1,
    ready,
    ended,
    signal: (signal) => child.kill(signal),
    complaint: () => complaint,
  };
}

function streamOf(child: ChildProcess, fd: 1 | 2 | 3): Readable {
  return child.stdio[fd] as Readable;
}

export async function kill(served: Pick<Served, 'signal' | 'ended'>): Promise<void> {
  served.signal('SIGKILL');
  await served.ended;
}

/** Without what would configure a coordinator, or Node itself, by accident. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(TRIBUTARY_|FAULTS_|DATABASE_URL$|PORT$|NODE_OPTIONS$|VITEST)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
