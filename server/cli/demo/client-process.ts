/** A client as its own process: `tributary join`, as anybody would start it. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const TRIBUTARY = fileURLToPath(new URL('../main.js', import.meta.url));

export interface ClientProcess {
  readonly pid: number;
  /** Resolves with the exit code; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  /** What it wrote to standard error, for the case that it fails. */
  complaint(): string;
  /** kill -9: no goodbye, no clean-up. */
  kill(): void;
}

/** The token goes by the environment: command lines are visible to every user of a machine. */
export function startClient(url: string, token: string, dataPath: string): ClientProcess {
  const child: ChildProcess = spawn(
    process.execPath,
    [TRIBUTARY, 'join', url, '--data', dataPath, '--quiet'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, TRIBUTARY_TOKEN: token } },
  );
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(-2000);
  });
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return {
    pid: child.pid ?? -1,
    ended,
    complaint: () => complaint.trim(),
    kill: () => child.kill('SIGKILL'),
  };
}
