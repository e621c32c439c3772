/** `tributary join` processes that are killed in the middle of training, or started twice. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeDataset } from '../../client/data/load.js';
import { initialParams } from '../../client/tfjs/model.js';
import { encodeParams } from '../../client/params.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { endCommands, startCommand } from '../support/command.js';
import type { Running } from '../support/command.js';
import { checkpointsOf } from '../support/database.js';
import { plainRun } from '../support/plain-task.js';
import { simulateRun } from '../support/simulated-run.js';
import type { Stage } from '../support/stage.js';
import { openStage } from '../support/stage.js';
import { tinyCsv, tinyData, tinyTask } from '../support/tiny-task.js';

const SIZES: Readonly<Record<string, number>> = { ada: 40, bob: 25 };
const NAMES = Object.keys(SIZES);

let stage: Stage;
let folder: string;
let spec: Omit<RunSpecInput, 'init'>;
let init: Uint8Array;
/** Checkpoints of the run that nothing happens to. */
let undisturbed: string[];

beforeAll(async () => {
  stage = await openStage();
  folder = await mkdtemp(join(tmpdir(), 'tributary-clients-'));
  await writeFile(join(folder, 'ada.csv'), tinyCsv('ada', SIZES.ada));
  await writeDataset(join(folder, 'bob.safetensors'), tinyData('bob', SIZES.bob));
  const task = await tinyTask();
  spec = {
    ...plainRun(NAMES.length, { rounds: 2 }),
    task,
    // So many epochs that a process is still at it when it is killed.
    training: { epochs: 60, batchSize: 4, learningRate: 0.05, momentum: 0.5 },
  };
  init = encodeParams(task.model, await initialParams(task.model, 3));
  const players = NAMES.map((name) => {
    const train = tfjsTrainer({ data: tinyData(name, SIZES[name]) });
    return { name, role: 'source' as const, train };
  });
  const { checkpoints } = await simulateRun({ spec, init, players });
  undisturbed = checkpoints.map(({ sha256 }) => sha256);
});
afterEach(endCommands);
afterAll(async () => {
  await stage.close();
  await rm(folder, { recursive: true, force: true });
});

async function createRun(): Promise<{ id: string; tokens: Record<string, string> }> {
  const blob = await stage.api.putBlob(init);
  const { id } = await stage.api.createRun({ ...spec, init: { blob } });
  const tokens: Record<string, string> = {};
  for (const name of NAMES) tokens[name] = (await stage.api.enrol(id, name, 'source')).token;
  return { id, tokens };
}

function startClient(file: string, token: string): Running {
  const args = ['join', stage.url, '--data', join(folder, file)];
  return startCommand(args, { env: { TRIBUTARY_TOKEN: token } });
}

describe('a client process', () => {
  it('that is killed in mid-training is replaced by another with its token', async () => {
    const { id, tokens } = await createRun();
    const bob = startClient('bob.safetensors', tokens.bob);
    const victim = startClient('ada.csv', tokens.ada);
    await victim.output(/round 1: training/);
    victim.signal('SIGKILL');
    const { stdout } = await victim.ended;
    expect(stdout).not.toContain('sending');
    const [before] = (await stage.api.round(id, 1)).updates;
    expect(before).toMatchObject({ clientId: 'ada', state: 'invited', receipt: null });

    const heir = startClient('ada.csv', tokens.ada);
    const ended = await Promise.all([bob.ended, heir.ended]);
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    expect(ended[1].stdout).toMatch(/completed: 2 updates accepted/);
    const { updates } = await stage.api.round(id, 1);
    expect(updates.map(({ assignmentId, state }) => [assignmentId, state])).toContainEqual([
      before.assignmentId,
      'accepted',
    ]);
    expect(await checkpointsOf(stage.database, id)).toEqual(undisturbed);
  });

  it('that is started twice goes on in the newer one, and the older says why it ends', async () => {
    const { id, tokens } = await createRun();
    const older = startClient('ada.csv', tokens.ada);
    await older.output(/connected as ada/);
    const newer = startClient('ada.csv', tokens.ada);
    const { code, stderr } = await older.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('(replaced)');
    const bob = startClient('bob.safetensors', tokens.bob);
    const ended = await Promise.all([newer.ended, bob.ended]);
    expect(ended.map((each) => each.code)).toEqual([0, 0]);
    expect(await checkpointsOf(stage.database, id)).toEqual(undisturbed);
  });
});
