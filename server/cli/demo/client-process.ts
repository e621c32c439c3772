/** A client as its own process: `tributary join`, as anybody would start it. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const TRIBUTARY = fileURLToPath(new URL('../main.js', import.meta.url));

/** How a process ended: one of the three is not null. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It was never started. */
  readonly error: Error | null;
}

export interface ClientProcess {
  readonly pid: number;
  /** Never rejects: a process that cannot be started has ended with an error. */
  readonly ended: Promise<Ending>;
  /** What it wrote to standard error, for the case that it fails. */
  complaint(): string;
  /** kill -9: no goodbye, no clean-up. */
  kill(): void;
}

/** The token goes by the environment: command lines are visible to every user of a machine. */
export function startClient(url: string, token: string, dataPath: string): ClientProcess {
  const child = spawn(process.execPath, [TRIBUTARY, 'join', url, '--data', dataPath, '--quiet'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TRIBUTARY_TOKEN: token },
  });
  return observe(child);
}

/** @param child with standard error piped, if its complaint is to be heard. */
export function observe(child: ChildProcess): ClientProcess {
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(-2000);
  });
  const ended = new Promise<Ending>((resolve) => {
    child.once('error', (error) => {
      // Also emitted where a living process cannot be signalled; its end is still to come.
      if (child.pid === undefined) resolve({ code: null, signal: null, error });
    });
    // `close`, not `exit`: what it wrote to standard error has been read by then.
    child.once('close', (code, signal) => resolve({ code, signal, error: null }));
  });
  return {
    pid: child.pid ?? -1,
    ended,
    complaint: () => complaint.trim(),
    kill: () => child.kill('SIGKILL'),
  };
}
