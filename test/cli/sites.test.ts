/** `tributary site` and `tributary operator` against a coordinator that `tributary serve` runs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { enrolled, operatorInfo, operatorToken, siteInfo } from '../../protocol/http.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import type { Finished } from '../support/command.js';
import { command, endCommands, startCommand } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';
import { OPERATOR_TOKEN } from '../support/stage.js';
import { tinyCsv, tinyTask } from '../support/tiny-task.js';

let folder: string;
let database: TestDatabase;
let coordinator: CoordinatorProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-sites-'));
  database = await testDatabase();
  coordinator = await serveProcess({
    dataDir: join(folder, 'data'),
    databaseUrl: database.url,
  });
}, 60_000);
afterAll(async () => {
  await endCommands();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

function operate(args: readonly string[], token = OPERATOR_TOKEN): Promise<Finished> {
  const env = { TRIBUTARY_URL: coordinator.url, TRIBUTARY_OPERATOR_TOKEN: token };
  return command(args, { cwd: folder, env });
}

async function said(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await operate(args);
  expect([code, stderr], args.join(' ')).toEqual([0, '']);
  return stdout;
}

async function json<T>(schema: z.ZodType<T>, ...args: string[]): Promise<T> {
  return schema.parse(JSON.parse(await said(...args, '--json')));
}

async function createRun(): Promise<string> {
  const { api } = coordinator;
  const blob = await api.putBlob(initialModel);
  const { id } = await api.createRun({ ...plainRun(1), join: 'approved', init: { blob } });
  return id;
}

describe('tributary site', () => {
  it('adds, approves, revokes and rotates with one command each', async () => {
    const run = await createRun();
    const added = await said('site', 'add', run, 'lab-a', '--expires', '30d');
    expect(added).toMatch(
      /^lab-a \(source\) {2}trb_[\w-]{43}\nThe token is shown only this once\./,
    );
    expect(added).toMatch(/It expires 20\d\d-\d\d-\d\d \d\d:\d\d UTC\./);
    expect(added).toContain(`tributary site approve ${run} lab-a`);
    await said('site', 'add', run, 'judge', '--role', 'evaluator');
    expect(await said('site', 'approve', run, 'lab-a')).toBe('lab-a (source) is approved\n');
    expect(await said('site', 'revoke', run, 'judge')).toBe('judge (evaluator) is revoked\n');
    const list = await said('site', 'list', run);
    expect(list).toMatch(/judge +evaluator +revoked +no +never/);
    expect(list).toMatch(/lab-a +source +approved +no +20\d\d-/);
    const again = await json(enrolled, 'site', 'rotate', run, 'judge', '--expires', '12h');
    expect(again).toMatchObject({ clientId: 'judge', state: 'pending' });
    const lasts = Date.parse(again.tokenExpiresAt!) - Date.now();
    expect(Math.abs(lasts - 12 * 3_600_000)).toBeLessThan(120_000);
    const sites = await json(z.array(siteInfo), 'site', 'list', run);
    expect(sites.map(({ id, state }) => [id, state])).toEqual([
      ['judge', 'pending'],
      ['lab-a', 'approved'],
    ]);
  });

  it('says what is wrong, and the next thing to try', async () => {
    const run = await createRun();
    await said('site', 'add', run, 'lab-a');
    await said('site', 'revoke', run, 'lab-a');
    for (const [args, words] of [
      [['add', run, 'lab-a'], 'has a client lab-a already'],
      [['add', run, 'lab-b', '--expires', 'soon'], '--expires: "soon" is no time: try 90m'],
      [['add', run, 'lab-b', '--role', 'boss'], '"boss" is not a role'],
      [['approve', run, 'lab-a'], '"tributary site rotate" gives it a new one'],
      [['approve', run, 'nobody'], `run "${run}" has no client "nobody"`],
      [['revoke', 'no-run', 'nobody'], 'there is no run "no-run"'],
    ] as const) {
      const { code, stdout, stderr } = await operate(['site', ...args]);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toContain(words);
    }
  });
});

describe('tributary join', () => {
  it('waits for the approval, says so once, and then trains', async () => {
    const { model, ...task } = await tinyTask();
    const { format, body } = model;
    const runFile = {
      name: 'tiny',
      task: { ...task, model: { format, body } },
      rule: 'fedavg',
      rounds: 1,
      join: 'approved',
      init: { seed: 3 },
      cohort: { size: 1, overSelection: 1 },
      evaluateEvery: 0,
    };
    await writeFile(join(folder, 'run.json'), JSON.stringify(runFile));
    await writeFile(join(folder, 'lab.csv'), tinyCsv('lab', 30));
    const created = z.object({ id: z.string(), clients: z.array(enrolled) });
    const run = await json(created, 'run', 'create', 'run.json', '--client', 'lab');
    const [{ token, state }] = run.clients;
    expect(state).toBe('pending');
    const joined = startCommand(['join', coordinator.url, '--data', 'lab.csv'], {
      cwd: folder,
      env: { TRIBUTARY_TOKEN: token },
    });
    await joined.output(/waiting for the operator's approval/);
    await said('site', 'approve', run.id, 'lab');
    const { code, stdout, stderr } = await joined.ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.match(/approval/g)).toHaveLength(1);
    expect(stdout).toMatch(/connected as lab[\s\S]*round 1: accepted[\s\S]*completed: 1 updates/);
  }, 60_000);
});

describe('tributary operator', () => {
  it('adds operators, whose tokens do as much as their role', async () => {
    const run = await createRun();
    const viewer = await json(operatorToken, 'operator', 'add', 'vera');
    expect(viewer).toMatchObject({ name: 'vera', role: 'viewer', tokenExpiresAt: null });
    expect((await operate(['site', 'list', run], viewer.token)).code).toBe(0);
    const refused = await operate(['site', 'add', run, 'lab'], viewer.token);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      'this takes the role "operator", and operator "vera" has "viewer"',
    );
    const text = await said('operator', 'rotate', 'vera', '--expires', '90m');
    expect(text).toMatch(/^vera \(viewer\) {2}tro_[\w-]{43}\n/);
    expect((await operate(['site', 'list', run], viewer.token)).stderr).toContain('unauthorized');
    expect(await said('operator', 'revoke', 'vera')).toBe('vera (viewer) is revoked\n');
    const all = await json(z.array(operatorInfo), 'operator', 'list');
    expect(all.map(({ name, revoked }) => [name, revoked])).toEqual([['vera', true]]);
    expect(await said('operator', 'list')).toMatch(/vera +viewer +revoked/);
  });
});
