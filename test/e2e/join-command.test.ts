/** `tributary join` with a policy, a review, several coordinators, and without a token. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeParams } from '../../client/params.js';
import { initialParams } from '../../client/tfjs/model.js';
import type { Coordinator } from '../../server/app.js';
import type { Api } from '../../server/cli/api.js';
import { connectApi } from '../../server/cli/api.js';
import type { Finished } from '../support/command.js';
import { command, endCommands, startCommand } from '../support/command.js';
import { folder, useFolder } from '../support/folder.js';
import { tinyCsv, tinyTask } from '../support/tiny-task.js';
import { closeCoordinators, OPERATOR, startCoordinator } from './support/coordinator.js';

useFolder();
let coordinator: Coordinator;
let api: Api;

beforeAll(async () => {
  coordinator = await startCoordinator();
  api = connectApi(coordinator.url, OPERATOR);
  await writeFile(join(folder, 'ada.csv'), tinyCsv('ada', 40));
});
closeCoordinators('all');
afterAll(endCommands);

/** The id of a run of one round for one client. */
async function createRun(changes: Partial<RunSpecInput> = {}): Promise<string> {
  const task = await tinyTask();
  const model = encodeParams(task.model, await initialParams(task.model, 3));
  const spec = { name: 'tiny', task, rule: { name: 'fedavg' }, rounds: 1, evaluateEvery: 0 };
  const blob = await api.putBlob(model);
  const { id } = await api.createRun({ ...spec, ...changes, init: { blob } });
  return id;
}

async function tokenFor(run: string): Promise<string> {
  return (await api.enrol(run, 'ada', 'source')).token;
}

function joinWith(...args: string[]): Promise<Finished> {
  return command(['join', ...args, '--data', 'ada.csv'], { cwd: folder });
}

describe('tributary join', () => {
  it('with --review shows what would leave, and refuses where nobody can agree', async () => {
    const token = await tokenFor(await createRun());
    const { code, stdout, stderr } = await joinWith(coordinator.url, '--token', token, '--review');
    expect(code).toBe(1);
    expect(stderr).toContain('What would leave this site');
    expect(stderr).toMatch(/delta\/\S+ \[\d/);
    expect(stdout).toContain('refused (nobody to ask at a terminal, and no --yes)');
  });

  it('with --review and --yes shows it, and takes part', async () => {
    const token = await tokenFor(await createRun());
    const args = ['--token', token, '--review', '--yes'];
    const { code, stdout, stderr } = await joinWith(coordinator.url, ...args);
    expect([code, stderr]).toEqual([0, expect.stringContaining('What would be run')]);
    expect(stdout).toContain('completed: 1 updates accepted');
  });

  it('keeps to the policy of the site, and says so', async () => {
    const token = await tokenFor(await createRun());
    await writeFile(join(folder, 'policy.json'), JSON.stringify({ clipNorm: 0.001 }));
    const args = ['--token', token, '--policy', 'policy.json'];
    const { code, stdout } = await joinWith(coordinator.url, ...args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/round 1: sending .*, scaled from norm 0\.\d+ to 0\.001/);
    await writeFile(join(folder, 'strict.json'), JSON.stringify({ clipnorm: 1 }));
    const wrong = await joinWith(coordinator.url, '--token', token, '--policy', 'strict.json');
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('strict.json: ');
    expect(wrong.stderr).toContain('clipnorm');
  });

  it('goes to the next coordinator where the first does not answer', async () => {
    const token = await tokenFor(await createRun());
    // Port 9 is for nobody to listen at.
    const { code, stdout } = await joinWith(
      'http://127.0.0.1:9',
      coordinator.url,
      '--token',
      token,
    );
    expect([code, stdout]).toEqual([0, expect.stringContaining('completed: 1 updates accepted')]);
  });

  it('enrols itself where the run is open, and leaves no token behind', async () => {
    const run = await createRun({ join: 'open' });
    const args = ['--run', run, '--name', 'eve', '--state', 'kept'];
    const { code, stdout } = await joinWith(coordinator.url, ...args);
    expect(stdout).toContain(`connected as eve (source) to run ${run}`);
    expect(code).toBe(0);
    expect(await readdir(join(folder, 'kept'))).toEqual([]);
  });

  it('says once that it waits to be approved, and then takes part', async () => {
    const run = await createRun({ join: 'approved' });
    const args = ['join', coordinator.url, '--run', run, '--name', 'eve', '--data', 'ada.csv'];
    const joining = startCommand(args, { cwd: folder });
    await joining.output(/waiting/);
    await api.approveSite(run, 'eve');
    const { code, stdout } = await joining.ended;
    expect(code).toBe(0);
    expect(stdout.match(/waiting for the operator's approval/g)).toHaveLength(1);
  });
});
