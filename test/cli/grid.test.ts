/** The runs of `tributary grid` shared out to processes, and what becomes of one that fails. */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { playInProcesses } from '../../server/cli/grid/play.js';
import { gridTasks, quickGrid } from '../../server/simulation/grid.js';
import { folder, useFolder } from '../support/folder.js';

const tasks = gridTasks(quickGrid).slice(0, 3);
const builtWorker = fileURLToPath(new URL('../../dist/server/cli/grid/worker.js', import.meta.url));

useFolder();

/** Starts processes with this program; keeps them. */
async function running(program: string) {
  const path = join(folder, 'worker.mjs');
  await writeFile(path, program);
  const children: ChildProcess[] = [];
  const start = (): ChildProcess => {
    const child = fork(path);
    children.push(child);
    return child;
  };
  return { start, children };
}

const noted = (): void => undefined;

describe('runs in processes', () => {
  it('come in the order of their tasks, whoever played them', async () => {
    const { start, children } = await running(
      'process.on("message", ({ rule, attack }) => process.send({ run: { rule, attack } }));',
    );
    let played = 0;
    const runs = await playInProcesses(tasks, 2, () => played++, start);
    expect(runs).toEqual(tasks.map(({ rule, attack }) => ({ rule, attack })));
    expect(played).toBe(3);
    expect(children.map(({ killed }) => killed)).toEqual([true, true]);
  });

  it('that fail say where, in the process that played them', async () => {
    const [task] = tasks;
    const unknown = { ...task, rule: 'fedavk' };
    const failed = playInProcesses([unknown], 1, noted, () => fork(builtWorker));
    await expect(failed).rejects.toMatchObject({
      code: 'rule_unknown',
      message: expect.stringContaining('did you mean "fedavg"') as string,
      stack: expect.stringMatching(/dist\/server\/.*worker\.js:\d+/s) as string,
    });
  });

  it.each([
    ['ends with a code', 'process.on("message", () => process.exit(7));', /ended early \(7\)/],
    ['is killed', 'process.on("message", () => process.kill(process.pid));', /early \(SIGTERM\)/],
  ])('end where a process %s', async (_, program, says) => {
    const { start } = await running(program);
    const lost = playInProcesses(tasks, 1, noted, start);
    await expect(lost).rejects.toMatchObject({ code: 'internal' });
    await expect(lost).rejects.toThrow(says);
  });

  it('end where a process cannot be started', async () => {
    const start = (): ChildProcess => fork(builtWorker, { execPath: join(folder, 'no-node') });
    await expect(playInProcesses(tasks, 1, noted, start)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/no-node.*ENOENT/) as string,
    });
  });

  it('end where a process is there and takes none', async () => {
    const { start } = await running('setInterval(() => undefined, 1000);');
    const deaf = (): ChildProcess => {
      const child = start();
      child.disconnect();
      return child;
    };
    await expect(playInProcesses(tasks, 1, noted, deaf)).rejects.toMatchObject({
      code: 'internal',
      message: 'a process of the grid takes no runs: Channel closed',
    });
  });
});
