/** The built `tributary` as child processes: what `npx tributary` runs. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const TRIBUTARY = fileURLToPath(new URL('../../bin/tributary.js', import.meta.url));

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Finished {
  /** null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  /** Resolves when standard output has the pattern in it; rejects where the process ends without. */
  output(pattern: RegExp): Promise<RegExpExecArray>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when the process is gone and its output was read. */
  readonly ended: Promise<Finished>;
}

const alive = new Set<Running>();
// Also where the runner itself ends early.
process.once('exit', () => {
  for (const running of alive) running.signal('SIGKILL');
});

export function startCommand(args: readonly string[], options: CommandOptions = {}): Running {
  const { cwd, env = {} } = options;
  const child = spawn(process.execPath, [TRIBUTARY, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text;
      for (const listener of [...listeners]) listener();
    });
  }
  const ended = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...said }));
  });
  const running: Running = {
    pid: child.pid ?? -1,
    ended,
    signal: (signal) => child.kill(signal),
    output: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(said.stdout);
          if (!found) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
        ended.then(({ code, stdout, stderr }) => {
          reject(new Error(`ended (${code}) without ${pattern}:\n${stdout}\n${stderr}`));
        }, reject);
      }),
  };
  alive.add(running);
  void ended.then(() => alive.delete(running));
  return running;
}

/** Runs a command to its end. */
export function command(args: readonly string[], options?: CommandOptions): Promise<Finished> {
  return startCommand(args, options).ended;
}

/** For afterEach and afterAll: ends what a test that failed left running. */
export async function endCommands(): Promise<void> {
  const left = [...alive];
  for (const running of left) running.signal('SIGKILL');
  await Promise.all(left.map(({ ended }) => ended));
}

/** Without what would configure a coordinator, a client or Node itself by accident. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(TRIBUTARY_|DATABASE_URL$|PORT$|NODE_OPTIONS$|VITEST)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
