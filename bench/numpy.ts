/** A Python process with the same rows, driven line by line, so that it takes turns with us. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('in_numpy.py', import.meta.url));

export interface Numpy {
  /** Seconds of CPU time for one run over the first `size` elements of `count` rows. */
  run(name: string, count: number, size: number): Promise<number>;
  close(): void;
}

/** Null where there is no Python with numpy: TRIBUTARY_PYTHON names one, else it is python3. */
export async function openNumpy(): Promise<Numpy | null> {
  const python = process.env.TRIBUTARY_PYTHON ?? 'python3';
  const child = spawn(python, [SCRIPT], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, OPENBLAS_NUM_THREADS: '1', OMP_NUM_THREADS: '1' },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const isThere = await Promise.race([
    once(child, 'error').then(() => false),
    lines.next().then(({ value }) => value === 'ready'),
  ]);
  if (!isThere) return null;
  return {
    async run(name, count, size) {
      child.stdin.write(`${name} ${count} ${size}\n`);
      const { value } = (await lines.next()) as { value: string | undefined };
      const seconds = Number(value);
      if (!(seconds >= 0)) throw new Error(`numpy did not run ${name}: ${value ?? 'it ended'}`);
      return seconds;
    },
    close: () => child.stdin.end(),
  };
}
