import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { isAlive, markIsAlive, thisProcess } from '../../server/adapters/postgres/processes.js';
import { waitFor } from '../../server/adapters/postgres/wait.js';

describe('a process', () => {
  it.skipIf(process.platform !== 'linux')(
    'that is a zombie does not count as alive, though nobody reaps it (told by /proc: Linux only)',
    async () => {
      // The program that takes the shell's place never asks how the shell's child ended.
      const takeOver = 'sleep 60 & exec "$0" -e "console.log($!); setInterval(() => {}, 1e3)"';
      const parent = spawn('/bin/sh', ['-c', takeOver, process.execPath]);
      try {
        const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
        const child = Number(line);
        const dead = () => (isAlive(child) ? undefined : true);

        expect(isAlive(child)).toBe(true);
        process.kill(child, 'SIGKILL');
        expect(await waitFor(dead, { everyMs: 5, timeoutMs: 20_000 })).toBe(true);
        expect(() => process.kill(child, 0)).not.toThrow();
      } finally {
        parent.kill();
        await once(parent, 'exit');
      }
    },
  );

  it('is told by its mark from a later one with its number', () => {
    const [pid, ticks] = thisProcess().split('-');

    expect(markIsAlive(`${pid}-${ticks}`)).toBe(true);
    expect(markIsAlive(`${pid}-${Number(ticks) + 1}`)).toBe(false);
    expect(markIsAlive(`4194305-${ticks}`)).toBe(false);
    expect(markIsAlive('')).toBe(false);
  });
});
