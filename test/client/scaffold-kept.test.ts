import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Kept } from '../../client/kept.js';
import type { ClientStorage, TrainFunction, TrainRequest, Vectors } from '../../client/types.js';
import type { Assignment } from '../../protocol/messages.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { noFolder, stateFolder } from '../../server/cli/join/state.js';
import { accept, refuse, sha256 } from './support/fake-coordinator.js';
import {
  coordinator,
  finishRun,
  leave,
  log,
  start,
  trained,
  until,
  useHarness,
} from './support/harness.js';

/** Keeps the number of the training, counted over what was kept before. */
function counting(): { train: TrainFunction; requests: TrainRequest[]; found: (number | null)[] } {
  const requests: TrainRequest[] = [];
  const found: (number | null)[] = [];
  const train: TrainFunction = (request) => {
    requests.push(request);
    const before = request.kept?.count;
    found.push(before ? before['dense/bias'][0] : null);
    const count = { 'dense/bias': Float32Array.of((before?.['dense/bias'][0] ?? 0) + 1, -1) };
    // Training in place must not reach what is kept.
    before?.['dense/bias'].fill(NaN);
    return Promise.resolve({ ...trained(request), keep: { count } });
  };
  return { train, requests, found };
}

function weighed(assignmentId: string): void {
  coordinator.emit('weighed', { assignmentId, round: 4, version: 4, weight: 0.5 });
}

/** What the coordinator says where it is asked. */
function tells(assignmentId: string, weight: number | null): void {
  const path = `/v1/assignments/${assignmentId}/weight`;
  coordinator.files.set(path, Buffer.from(JSON.stringify({ weight })));
}

function asked(): string[] {
  return coordinator.gets.filter((path) => path.endsWith('/weight'));
}

async function play(id: string, changes: Partial<Assignment> = {}): Promise<void> {
  const before = log.of('receipt').length;
  coordinator.emit('assignment', coordinator.assignment(id, changes));
  await log.nth('receipt', before + 1);
}

function memory(): ClientStorage & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    files,
    load: (key) => Promise.resolve(files.get(key) ?? null),
    save: (key, bytes) => Promise.resolve(void files.set(key, bytes)),
  };
}

describe('what a client keeps', () => {
  useHarness();

  it('is found again once the round has counted the update, and not before', async () => {
    const { train, found } = counting();
    const summary = start({ train });
    await log.nth('connected');
    await play('a1');
    weighed('a1');
    await log.nth('weighed');
    await play('a2', { round: 5 });
    weighed('a2');
    await log.nth('weighed', 2);
    await play('a3', { round: 6 });
    finishRun();
    await summary;
    expect(found).toEqual([null, 1, 2]);
    expect(asked()).toEqual([]);
  });

  it('never leaves the client', async () => {
    const { train } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1');
    const { tensors } = decodeSafetensors(coordinator.arrivals[0].body);
    expect(Object.keys(tensors).sort()).toEqual([
      'delta/dense/bias',
      'delta/dense/kernel',
      'delta/norm/mean',
    ]);
  });

  it.each([
    ['counts where the coordinator says that it was weighed', 0.25, 1],
    ['counts where it was weighed by nothing', 0, 1],
    ['does not count where the round went on without it', null, null],
  ])('%s while the client did not hear', async (_, weight, expected) => {
    const { train, found } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1');
    tells('a1', weight);
    await play('a2', { round: 5 });
    expect(found).toEqual([null, expected]);
    expect(asked()).toEqual(['/v1/assignments/a1/weight']);
  });

  it.each([
    ['came late', refuse('late', 'late')],
    ['was rejected', refuse('over_cap', 'rejected')],
  ])('stays as it was where the update %s', async (_, answer) => {
    coordinator.answers = [accept, answer, accept];
    const { train, found } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1');
    weighed('a1');
    await play('a2', { round: 5 });
    await play('a3', { round: 6 });
    expect(found).toEqual([null, 1, 1]);
    expect(asked()).toEqual([]);
  });

  it('does not move by a receipt that is given twice, nor by a weight that is told twice', async () => {
    const { train, found } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1');
    weighed('a1');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    weighed('a1');
    await log.nth('weighed', 2);
    await play('a2', { round: 5 });
    expect(found).toEqual([null, 1]);
    expect(coordinator.arrivals).toHaveLength(2);
  });

  it('outlives the process where there is a storage', async () => {
    const storage = memory();
    coordinator.answers = [
      (arrival) => {
        // What may be counted is safe before anybody can count it.
        expect([...storage.files.keys()]).toEqual(['r.anna']);
        accept(arrival);
      },
    ];
    const first = counting();
    const gone = start({ train: first.train, storage });
    await log.nth('connected');
    await play('a1');
    leave.abort();
    await gone;

    tells('a1', 0.5);
    const second = counting();
    const again = new AbortController();
    void start({ train: second.train, storage, signal: again.signal });
    await log.nth('connected', 2);
    await play('a2', { round: 5 });
    again.abort();
    expect(second.found).toEqual([1]);
    expect(asked()).toEqual(['/v1/assignments/a1/weight']);
  });

  it('gives the assignment back where what was stored is damaged, and says what to do', async () => {
    const storage = memory();
    storage.files.set('r.anna', encodeSafetensors({}));
    void start({ train: counting().train, storage });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('declined');
    await until(() => coordinator.declines.length > 0);
    expect(coordinator.declines[0].reason).toBe(
      'what was kept as "r.anna" is damaged: delete it, and this client starts anew',
    );
  });

  it('is not sent for where its storage fails', async () => {
    const storage: ClientStorage = {
      load: () => Promise.resolve(null),
      save: () => Promise.reject(new Error('the disk is full')),
    };
    void start({ train: counting().train, storage });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('declined');
    expect(coordinator.arrivals).toEqual([]);
  });
});

describe('what comes down with the model', () => {
  useHarness();

  const file = encodeSafetensors({
    'control/dense/kernel': { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    'control/dense/bias': { shape: [2], data: Float32Array.of(5, 6) },
  });
  const path = '/v1/runs/r/checkpoints/3/broadcast';
  const broadcast = { path, sha256: sha256(file), bytes: file.byteLength };

  it('is there for training, over the shared tensors', async () => {
    coordinator.files.set(path, file);
    const { train, requests } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1', { broadcast });
    weighed('a1');
    await play('a2', { round: 5 });
    expect(requests[0].broadcast).toEqual({
      control: {
        'dense/kernel': Float32Array.of(1, 2, 3, 4),
        'dense/bias': Float32Array.of(5, 6),
      },
    });
    expect(requests[1].broadcast).toEqual({});
  });

  it('is refused where it is not what was announced', async () => {
    coordinator.files.set(
      path,
      file.map((byte, i) => (i === file.length - 1 ? byte ^ 1 : byte)),
    );
    void start({ train: counting().train });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1', { broadcast }));
    await until(() => coordinator.declines.length > 0);
    expect(coordinator.declines[0].reason).toContain('announced was');
    expect(coordinator.gets.filter((get) => get === path)).toHaveLength(3);
  });
});

describe('the folder of --state', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(joinPath(tmpdir(), 'tributary-state-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const never = (): Promise<boolean> => Promise.reject(new Error('nobody is to be asked'));
  const vector = (...values: number[]): Vectors => ({ c: { 'a/b': Float32Array.from(values) } });

  it('has nothing at first, then the last that was held', async () => {
    const storage = stateFolder(joinPath(folder, 'made', 'for it'));
    const kept = new Kept(storage);
    expect(await kept.recall('run-1.ada', never)).toEqual({});
    await kept.hold('first', vector(1, 2));
    kept.counted('first');
    await kept.hold('second', vector(3, 4));
    for (const [wasCounted, expected] of [
      [true, vector(3, 4)],
      [false, vector(1, 2)],
    ] as const) {
      const asked: string[] = [];
      const again = new Kept(storage);
      const found = await again.recall('run-1.ada', (id) => {
        asked.push(id);
        return Promise.resolve(wasCounted);
      });
      expect(found).toEqual(expected);
      expect(asked).toEqual(['second']);
    }
  });

  it('holds one file a client and run, for the user alone', async () => {
    const storage = stateFolder(folder);
    for (const key of ['run-1.ada', 'run-1.Bo', '../run-2.ada']) {
      const kept = new Kept(storage);
      await kept.recall(key, never);
      await kept.hold('a1', vector(1));
    }
    const files = readdirSync(folder).sort();
    expect(files).toEqual([
      '.._run-2.ada.safetensors',
      'run-1.Bo.safetensors',
      'run-1.ada.safetensors',
    ]);
    for (const file of files) {
      expect(statSync(joinPath(folder, file)).mode & 0o777).toBe(0o600);
    }
  });

  it('is missed once where there is none', async () => {
    let warnings = 0;
    const kept = new Kept(noFolder(() => warnings++));
    expect(await kept.recall('run-1.ada', never)).toEqual({});
    expect(warnings).toBe(0);
    for (const id of ['a1', 'a2']) {
      await kept.hold(id, vector(1));
      kept.counted(id);
    }
    expect(warnings).toBe(1);
    expect(await kept.recall('run-1.ada', never)).toEqual(vector(1));
  });

  it('says where it cannot write', async () => {
    writeFileSync(joinPath(folder, 'file'), '');
    const storage = stateFolder(joinPath(folder, 'file'));
    await expect(storage.save('run-1.ada', new Uint8Array(3))).rejects.toMatchObject({
      code: 'storage_unavailable',
    });
  });
});
