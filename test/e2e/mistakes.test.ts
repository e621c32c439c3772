/** What the built commands say to people who got something wrong: what it is, and what to do. */
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Finished } from '../support/command.js';
import { command, endCommands } from '../support/command.js';
import { folder, useFolder } from '../support/folder.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import type { Stage } from '../support/stage.js';
import { OPERATOR_TOKEN, openStage } from '../support/stage.js';

useFolder();
let stage: Stage;

beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => {
  await endCommands();
  await stage.close();
});

/** Runs an operator's command. */
function operate(...args: string[]): Promise<Finished> {
  const env = { TRIBUTARY_URL: stage.url, TRIBUTARY_OPERATOR_TOKEN: OPERATOR_TOKEN };
  return command(args, { cwd: folder, env });
}

describe('a mistake', () => {
  /** A run of an opaque model, which needs no TF.js, with something changed in its file. */
  async function createWrong(change: object): Promise<Finished> {
    const init = { file: 'init.safetensors' };
    await writeFile(join(folder, 'init.safetensors'), initialModel);
    await writeFile(
      join(folder, 'wrong.json'),
      JSON.stringify({ ...plainRun(2), init, ...change }),
    );
    return operate('run', 'create', 'wrong.json');
  }

  it('is what the next ones have: without it, the run file is good', async () => {
    expect(await createWrong({})).toMatchObject({ code: 0, stderr: '' });
  });

  it.each([
    [{ rule: 'fedagv' }, /no rule "fedagv".*"fedavg"/],
    [{ optimizer: 'adem' }, /adem.*"adam"/],
    [{ rule: { name: 'fedlaw', options: { gamaMax: 1 } } }, /gamaMax/],
    [{ rule: 'fedlaw' }, /needs an oracle/],
    [{ roundz: 3 }, /roundz/],
    [{ init: { file: 'nowhere.safetensors' } }, /nowhere\.safetensors/],
  ])('in a run file is named: %j', async (change, says) => {
    const { code, stdout, stderr } = await createWrong(change);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(says);
    expect(stderr).not.toContain('    at ');
  });

  it.each([
    [['run', 'show', 'nothing-here'], /nothing-here.*\n.*run list/],
    [['run', 'lst'], /lst/],
    [['run', 'list', '--jsn'], /--jsn/],
    [['run', 'create', 'nowhere.json'], /nowhere\.json/],
    [['run', 'create', 'run.json', '--client', 'ada:boss'], /boss.*source, target, evaluator/],
    [['run', 'show', 'x', '--round', 'two'], /--round.*two/],
    [['run', 'list', '--token', 'not-the-operator-token'], /unauthorized/],
  ])('in a command line is named: %j', async (args, says) => {
    const { code, stdout, stderr } = await operate(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(says);
    expect(stderr).not.toContain('    at ');
  });

  it.each([
    [{ TRIBUTARY_PORT: 'eighty' }, 'TRIBUTARY_PORT'],
    [{ DATABASE_URL: 'mysql://localhost/db' }, 'DATABASE_URL'],
  ])('in a variable of the coordinator is named: %j', async (env, name) => {
    const { code, stdout, stderr } = await command(['serve'], { cwd: folder, env });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(name);
    expect(stderr).not.toContain('    at ');
  });

  it('in the address of the coordinator is said plainly, and what to do', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => closed.once('listening', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const url = `http://127.0.0.1:${port}`;
    const { code, stderr } = await operate('run', 'list', '--url', url);
    expect(code).toBe(1);
    expect(stderr).toContain(`no coordinator answers at ${url}`);
    expect(stderr).toContain('tributary serve');
  });

  it('with a token is told from a coordinator that is away', async () => {
    const { code, stderr } = await command(
      ['join', stage.url, '--data', 'ada.csv', '--token', 'trb_not-a-token'],
      { cwd: folder },
    );
    expect(code).toBe(1);
    expect(stderr).toContain('(unauthorized)');
    const without = await command(['join', stage.url, '--data', 'ada.csv'], { cwd: folder });
    expect(without.code).toBe(1);
    expect(without.stderr).toContain('TRIBUTARY_TOKEN');
  });
});
