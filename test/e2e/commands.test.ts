/** The built commands against a coordinator that `tributary serve` runs. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { enrolled, eventList, roundDetail, runDetail, runSummary } from '../../protocol/http.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import type { Finished } from '../support/command.js';
import { command, endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import type { TestDatabase } from '../support/postgres.js';
import { testDatabase } from '../support/postgres.js';
import { runSql } from '../support/sql.js';
import { OPERATOR_TOKEN } from '../support/stage.js';
import { tinyCsv, tinyTask } from '../support/tiny-task.js';

let folder: string;
let database: TestDatabase;
let coordinator: CoordinatorProcess;
const file = (name: string): string => join(folder, name);

/** A run file as a person would write it: the tensors follow from the layers. */
async function runFile(): Promise<Record<string, unknown>> {
  const task = await tinyTask();
  const { format, body } = task.model;
  return {
    name: 'tiny',
    task: { ...task, model: { format, body } },
    rule: 'fedavg',
    rounds: 2,
    seed: 7,
    init: { seed: 3 },
    training: { batchSize: 8, learningRate: 0.3 },
    cohort: { size: 2 },
    quorum: { min: 2 },
    evaluateEvery: 1,
  };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-commands-'));
  database = await testDatabase();
  coordinator = await serveProcess({ dataDir: file('data'), databaseUrl: database.url });
  await writeFile(file('run.json'), JSON.stringify(await runFile()));
  await writeFile(file('ada.csv'), tinyCsv('ada', 60));
  await writeFile(file('bob.csv'), tinyCsv('bob', 30));
  await writeFile(file('held-out.csv'), tinyCsv('held-out', 50));
});
afterAll(async () => {
  await endCommands();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Runs an operator's command. */
function operate(...args: string[]): Promise<Finished> {
  const env = { TRIBUTARY_URL: coordinator.url, TRIBUTARY_OPERATOR_TOKEN: OPERATOR_TOKEN };
  return command(args, { cwd: folder, env });
}

async function json<T>(schema: z.ZodType<T>, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await operate(...args, '--json');
  expect([code, stderr], args.join(' ')).toEqual([0, '']);
  return schema.parse(JSON.parse(stdout));
}

const created = runSummary.extend({ clients: z.array(enrolled) });
type Created = z.infer<typeof created>;

function createRun(path = 'run.json', ...clients: string[]): Promise<Created> {
  return json(created, 'run', 'create', path, ...clients.flatMap((name) => ['--client', name]));
}

function joinWith(run: Created, name: string, ...args: string[]): Promise<Finished> {
  const { token } = run.clients.find(({ clientId }) => clientId === name)!;
  return command(['join', coordinator.url, ...args], {
    cwd: folder,
    env: { TRIBUTARY_TOKEN: token },
  });
}

describe('a run from its file to its model', () => {
  let run: Created;
  let joined: Finished[];

  beforeAll(async () => {
    run = await createRun('run.json', 'ada', 'bob:source', 'judge:evaluator');
    joined = await Promise.all([
      joinWith(run, 'judge', '--validation', 'held-out.csv', '--json'),
      joinWith(run, 'ada', '--data', 'ada.csv'),
      joinWith(run, 'bob', '--data', 'bob.csv', '--quiet'),
    ]);
  });

  it('is created with its clients, a token each', () => {
    expect(run).toMatchObject({ name: 'tiny', rule: 'fedavg', status: 'running', rounds: 2 });
    expect(run.clients.map(({ clientId, role }) => [clientId, role])).toEqual([
      ['ada', 'source'],
      ['bob', 'source'],
      ['judge', 'evaluator'],
    ]);
    expect(new Set(run.clients.map(({ token }) => token)).size).toBe(3);
  });

  it('is trained by clients that say what they do, or nothing, or JSON', () => {
    const [judge, ada, bob] = joined;
    expect(joined.map(({ code, stderr }) => [code, stderr])).toEqual(Array(3).fill([0, '']));
    for (const line of [
      `connected as ada (source) to run ${run.id}`,
      'round 1: training',
      'round 1: accepted',
      'round 2: accepted',
      'round 2: committed, weight 0.6667',
      'completed: 2 updates accepted',
    ]) {
      expect(ada.stdout).toContain(line);
    }
    expect(bob.stdout).toBe('');
    expect(JSON.parse(judge.stdout)).toMatchObject({ status: 'completed', clientId: 'judge' });
  });

  it('is listed and shown, for people and for programs', async () => {
    expect(await json(z.array(runSummary), 'run', 'list')).toContainEqual(
      expect.objectContaining({ id: run.id, status: 'completed', round: 2 }),
    );
    expect((await operate('run', 'list')).stdout).toMatch(
      new RegExp(`${run.id}\\s+fedavg\\s+completed\\s+2/2`),
    );
    const detail = await json(runDetail, 'run', 'show', run.id);
    expect(detail.history).toMatchObject([
      { phase: 'closed', accepted: 2 },
      { phase: 'closed', accepted: 2 },
    ]);
    const accuracies = detail.history.map(({ evaluation }) => evaluation?.pooled.accuracy ?? NaN);
    expect(accuracies[1]).toBeGreaterThan(0.7);
    const { stdout } = await operate('run', 'show', run.id);
    expect(stdout).toContain(accuracies[1].toFixed(4));
    expect(stdout).toContain(detail.history[1].checkpointSha256!.slice(0, 12));
    expect(stdout).toMatch(/judge\s+evaluator/);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('shows of a round who was invited, receipts and weights', async () => {
    const round = await json(roundDetail, 'run', 'show', run.id, '--round', '2');
    const training = round.updates.filter(({ kind }) => kind === 'train');
    expect(training).toMatchObject([
      { clientId: 'ada', receipt: { status: 'accepted' }, numExamples: 60, weight: 2 / 3 },
      { clientId: 'bob', receipt: { status: 'accepted' }, numExamples: 30, weight: 1 / 3 },
    ]);
    const { stdout } = await operate('run', 'show', run.id, '--round', '2');
    expect(stdout).toMatch(/ada\s+source\s+train\s+accepted\s+60\s+\S+\s+0\.666667/);
    expect(stdout).toMatch(/judge\s+evaluator\s+evaluate\s+accepted/);
    const accuracy = round.evaluation!.pooled.accuracy.toPrecision(5);
    expect(stdout).toMatch(/site\s+examples\s+(\w+\s+)*accuracy/);
    expect(stdout).toMatch(new RegExp(`judge\\s+50\\s.*${accuracy}`));
    expect(stdout).toMatch(new RegExp(`pooled\\s+50\\s.*${accuracy}`));
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('shows its ledger, and whether somebody changed it', async () => {
    const ledger = eventList.extend({ broken: z.object({ seq: z.int() }).nullable() });
    const { events, broken } = await json(ledger, 'run', 'events', run.id);
    expect(broken).toBeNull();
    expect(events.map(({ type }) => type)).toContain('client-enrolled');
    const { code, stdout } = await operate('run', 'events', run.id);
    expect(code).toBe(0);
    expect(stdout).toContain(`chain of ${events.length} events verifies`);
    expect(stdout).toMatch(
      / 2 {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}client-enrolled {2}client=ada role=source/,
    );
    expect(stdout).toMatch(/round-committed {2}round=2 version=2/);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);

    const changeTo = (role: string): Promise<unknown> =>
      runSql(
        database.url,
        `UPDATE ledger_events SET body = jsonb_set(body, '{role}', '"${role}"')
         WHERE run_id = '${run.id}' AND seq = 2`,
      );
    await changeTo('target');
    const changed = await operate('run', 'events', run.id);
    await changeTo('source');
    expect(changed.code).toBe(1);
    expect(changed.stdout).toContain('the chain is broken at event 2: it is not what was hashed');
    expect((await operate('run', 'events', run.id)).code).toBe(0);
  });

  it('gives its models, each with the bytes of its hash', async () => {
    const { history } = await json(runDetail, 'run', 'show', run.id);
    for (const [args, sha256] of [
      [[], history[1].checkpointSha256],
      [['--round', '1'], history[0].checkpointSha256],
    ] as const) {
      const got = await json(
        z.object({ out: z.string(), bytes: z.int() }),
        ...['model', 'get', run.id, '--out', 'model.safetensors', ...args],
      );
      const bytes = await readFile(file('model.safetensors'));
      expect(got.bytes).toBe(bytes.byteLength);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    }
    const start = await operate(
      'model',
      'get',
      run.id,
      '--round',
      '0',
      '--out',
      'start.safetensors',
    );
    expect(start.stdout).toMatch(/^start\.safetensors: \d+ B\n$/);
    const { tensors } = decodeSafetensors(await readFile(file('start.safetensors')));
    expect(Object.keys(tensors)).toEqual(['out/kernel', 'out/bias']);
  });

  it('can be the start of another run, which can be stopped', async () => {
    await operate('model', 'get', run.id, '--out', 'trained.safetensors');
    await mkdir(file('next'));
    const next = { ...(await runFile()), init: { file: '../trained.safetensors' } };
    await writeFile(file('next/run.json'), JSON.stringify(next));
    const second = await createRun('next/run.json');
    await operate('model', 'get', second.id, '--round', '0', '--out', 'again.safetensors');
    expect(await readFile(file('again.safetensors'))).toEqual(
      await readFile(file('trained.safetensors')),
    );
    const client = await json(enrolled, 'run', 'enrol', second.id, 'late', '--role', 'target');
    expect(client).toMatchObject({ clientId: 'late', role: 'target' });
    expect(await json(runSummary, 'run', 'pause', second.id)).toMatchObject({ status: 'paused' });
    const resumed = await operate('run', 'resume', second.id);
    expect([resumed.code, resumed.stdout]).toEqual([0, `run ${second.id} is running\n`]);
    expect(await json(runSummary, 'run', 'stop', second.id)).toMatchObject({ status: 'stopped' });
    const again = await operate('run', 'stop', second.id);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('run_over');
  });
});

describe('tributary run create --client', () => {
  it.each([
    [['alice', 'alice:target'], /"alice:target": "alice" is named twice/],
    [[':target'], /":target": use 1 to 64 letters/],
    [['alice:source:x'], /"alice:source:x": write name or name:role/],
    [['alice:king'], /"king" is not a role: use source, target, evaluator/],
  ])('creates no run for clients that cannot be: %s', async (clients, says) => {
    const before = await coordinator.api.runs();
    const options = clients.flatMap((client) => ['--client', client]);
    const { code, stdout, stderr } = await operate('run', 'create', 'run.json', ...options);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(says);
    expect(await coordinator.api.runs()).toEqual(before);
  });

  it('prints the tokens that it has where an enrolment fails after all', async () => {
    // Names and roles are well, but this rule takes one target only: the coordinator says so.
    const spec = { ...(await runFile()), rule: 'fedda' };
    await writeFile(file('one-target.json'), JSON.stringify(spec));
    const clients = ['--client', 'ada', '--client', 'tom:target', '--client', 'tim:target'];
    const { code, stdout, stderr } = await operate('run', 'create', 'one-target.json', ...clients);
    expect(code).toBe(1);
    expect(stdout).toMatch(/ada \(source\) {2}\S{20}.*\n.*tom \(target\) {2}\S{20}/);
    const [, id] = /^run (\S+)/.exec(stdout)!;
    expect(stderr).toContain(`run ${id} is created, but "tim" could not be enrolled`);
  });
});

describe('a coordinator that is not there', () => {
  it('is said to be unreachable, with what to do', async () => {
    const url = 'http://127.0.0.1:9';
    const { code, stderr } = await command(['run', 'list', '--url', url, '--token', 'x'], {});
    expect(code).toBe(1);
    expect(stderr).toContain(`no coordinator answers at ${url}`);
    expect(stderr).toContain('Start the coordinator with "tributary serve"');
    expect(stderr).toContain('(unreachable)');
  });

  it('is looked for at the default address where TRIBUTARY_URL is empty', async () => {
    const { stdout } = await command(['run', 'list', '--help'], { env: { TRIBUTARY_URL: '' } });
    expect(stdout).toContain('http://127.0.0.1:8080');
  });
});

describe('tributary join --check', () => {
  let run: Created;
  beforeAll(async () => {
    run = await createRun('run.json', 'ada');
  });

  it('says what is in data that fits', async () => {
    const { code, stdout } = await joinWith(run, 'ada', '--data', 'ada.csv', '--check');
    expect(code).toBe(0);
    expect(stdout).toContain('fits the contract');
    expect(stdout).toMatch(/examples\s+60/);
    expect(stdout).toMatch(/left\s+-?\d/);
    const inJson = await joinWith(run, 'ada', '--data', 'ada.csv', '--check', '--json');
    expect(JSON.parse(inJson.stdout)).toMatchObject({ data: { size: 60 }, validation: null });
  });

  it.each([
    ['text', 'left,right,side\n1,2,0\n1,two,1\n', /line 3, column right: "two" is not a number/],
    ['a value out of range', 'left,right,side\n1,2,0\n1,2,1\n9,2,1\n', /line 4.*left.*9/],
    ['a missing column', 'left,side\n1,0\n', /no column is named "right"/],
    ['nothing at all', 'left,right,side\n', /no rows/],
  ])('names row and column of data that does not: %s', async (name, csv, says) => {
    const path = `${name.replaceAll(' ', '-')}.csv`;
    await writeFile(file(path), csv);
    const { code, stdout, stderr } = await joinWith(run, 'ada', '--data', path, '--check');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(path);
    expect(stderr).toMatch(says);
  });
});

describe('tributary serve', () => {
  it('stops cleanly on SIGTERM, and takes runs up again', async () => {
    const { id } = await createRun();
    const { code, stderr } = await coordinator.stop();
    expect([code, stderr]).toEqual([0, '']);
    await expect(coordinator.api.runs()).rejects.toThrow('no coordinator answers');
    await coordinator.start();
    expect(await json(runDetail, 'run', 'show', id)).toMatchObject({
      status: 'running',
      now: expect.stringContaining('waiting for clients: 0 of 2') as string,
    });
  });

  it('keeps an operator token of its own, and tells where', async () => {
    const { api } = coordinator;
    expect(await api.runs()).not.toEqual([]);
    const dataDir = file('own-token');
    const other = await serveProcess({
      dataDir,
      databaseUrl: database.url,
      env: { TRIBUTARY_OPERATOR_TOKEN: '' },
    });
    expect((await stat(join(dataDir, 'operator-token'))).mode & 0o777).toBe(0o600);
    // Found in the data directory by the commands, too.
    const list = await command(['run', 'list', '--url', other.url], {
      env: { TRIBUTARY_DATA_DIR: dataDir },
    });
    expect([list.code, list.stderr]).toEqual([0, '']);
    const { code, stdout } = await other.stop();
    expect(code).toBe(0);
    expect(stdout).toContain(join(dataDir, 'operator-token'));
    expect(stdout).toContain(`tributary join ${other.url}`);
    expect(stdout).not.toContain(await readFile(join(dataDir, 'operator-token'), 'utf8'));
  });
});
