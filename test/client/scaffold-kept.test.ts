import { describe, expect, it } from 'vitest';
import type { ClientStorage, TrainFunction, TrainRequest } from '../../client/types.js';
import type { GivenWeight } from '../../protocol/http.js';
import type { Assignment } from '../../protocol/messages.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { warnedOfLoss } from '../../server/cli/join/state.js';
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

/** What the coordinator says where it is asked: of the n-th upload that arrived. */
function tells(assignmentId: string, weight: number | null, upload = 0): void {
  const path = `/v1/assignments/${assignmentId}/weight`;
  const given: GivenWeight = { weight, sha256: sha256(coordinator.arrivals[upload].body) };
  coordinator.files.set(path, Buffer.from(JSON.stringify(given)));
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
    remove: (key) => Promise.resolve(void files.delete(key)),
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
      remove: () => Promise.resolve(),
    };
    void start({ train: counting().train, storage });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('declined');
    expect(coordinator.arrivals).toEqual([]);
  });
});

/** Keeps the value, and sends bits that go with it: as a trainer of one's own may, run twice. */
function keeping(value: number): { train: TrainFunction; found: (number | null)[] } {
  const found: (number | null)[] = [];
  const train: TrainFunction = (request) => {
    found.push(request.kept?.mark ? request.kept.mark['dense/bias'][0] : null);
    const mark = { 'dense/bias': Float32Array.of(value, value) };
    return Promise.resolve({ ...trained(request), numExamples: value, keep: { mark } });
  };
  return { train, found };
}

/** Starts a client; the function makes it leave, as if its process had ended. */
function startOne(train: TrainFunction, storage?: ClientStorage): () => Promise<void> {
  const controller = new AbortController();
  const summary = start({ train, storage, signal: controller.signal });
  return async () => {
    controller.abort();
    await summary;
  };
}

describe('what a client keeps of an assignment that it trained twice', () => {
  useHarness();

  /** Its first process ends while the first upload is judged; the second one finds it taken. */
  async function trainedTwice(storage: ClientStorage): Promise<() => Promise<void>> {
    coordinator.answers = [({ cut }) => cut(), refuse('assignment_used'), accept];
    coordinator.open = [coordinator.assignment('a1')];
    const end = startOne(keeping(5).train, storage);
    await log.nth('retry');
    await end();
    const endSecond = startOne(keeping(6).train, storage);
    await log.nth('problem');
    coordinator.open = [];
    return endSecond;
  }

  /** What a third process finds in the next round. */
  async function foundNext(storage: ClientStorage): Promise<number | null> {
    const { train, found } = keeping(7);
    const end = startOne(train, storage);
    await log.nth('connected', 3);
    await play('a2', { round: 5 });
    await end();
    return found[0];
  }

  it.each([
    ['the first, whose receipt nobody heard', 0, 5],
    ['the second, after the first got lost on its way', 1, 6],
  ])('is what belongs to the upload that was counted: %s', async (_, upload, expected) => {
    const storage = memory();
    const end = await trainedTwice(storage);
    weighed('a1');
    await log.nth('weighed');
    await end();

    tells('a1', 0.5, upload);
    expect(await foundNext(storage)).toBe(expected);
    expect(asked()).toEqual(['/v1/assignments/a1/weight']);
  });

  it('is found by the process that was there when the round committed', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    weighed('a1');
    await log.nth('weighed');
    tells('a1', 0.5, 0);
    await play('a2', { round: 5 });
    // The client of the second process trained a2 from what the first one had made of a1.
    expect(
      decodeSafetensors(storage.files.get('r.anna')!).tensors['kept/mark/dense/bias'].data,
    ).toEqual(Float32Array.of(5, 5));
    await end();
  });

  it('is nothing where the round went on without it', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    await end();
    tells('a1', null, 0);
    expect(await foundNext(storage)).toBeNull();
  });

  it('is nothing where the coordinator has an upload that this client never made', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    await end();
    const given: GivenWeight = { weight: 0.5, sha256: '0'.repeat(64) };
    coordinator.files.set('/v1/assignments/a1/weight', Buffer.from(JSON.stringify(given)));
    expect(await foundNext(storage)).toBeNull();
  });

  it('follows the receipt of the second where there is one, without a question', async () => {
    coordinator.answers = [({ cut }) => cut(), accept];
    coordinator.open = [coordinator.assignment('a1')];
    const storage = memory();
    const end = startOne(keeping(5).train, storage);
    await log.nth('retry');
    await end();
    const second = keeping(6);
    const endSecond = startOne(second.train, storage);
    await log.nth('receipt');
    weighed('a1');
    await log.nth('weighed');
    await play('a2', { round: 5 });
    await endSecond();
    expect(second.found).toEqual([null, 6]);
    expect(asked()).toEqual([]);
  });
});

describe('what was kept for a run', () => {
  useHarness();

  it.each(['completed', 'stopped', 'failed'] as const)(
    'is removed when the run is %s, and not before',
    async (status) => {
      const storage = memory();
      storage.files.set('another.anna', encodeSafetensors({}));
      const summary = start({ train: counting().train, storage });
      await log.nth('connected');
      await play('a1');
      expect([...storage.files.keys()]).toEqual(['another.anna', 'r.anna']);
      coordinator.emit('run', { status, round: 4, rounds: 4, version: 4 });
      await summary;
      expect([...storage.files.keys()]).toEqual(['another.anna']);
    },
  );

  it('is removed by a client that was away when the run ended', async () => {
    const storage = memory();
    storage.files.set('r.anna', encodeSafetensors({}));
    coordinator.status = 'completed';
    await start({ train: counting().train, storage });
    expect([...storage.files.keys()]).toEqual([]);
  });

  it('stays where the client leaves', async () => {
    const storage = memory();
    const end = startOne(counting().train, storage);
    await log.nth('connected');
    await play('a1');
    await end();
    expect([...storage.files.keys()]).toEqual(['r.anna']);
  });

  it('that cannot be removed is a problem, and no reason to fail', async () => {
    const storage = { ...memory(), remove: () => Promise.reject(new Error('the disk is away')) };
    const summary = start({ train: counting().train, storage });
    await log.nth('connected');
    finishRun();
    expect((await summary).status).toBe('completed');
    expect(log.of('problem').map(({ what, error }) => `${what}: ${error.message}`)).toEqual([
      'removing what was kept: the disk is away',
    ]);
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

describe('a client without a folder', () => {
  useHarness();

  it('warns once, when something is to be kept, and remembers as long as it runs', async () => {
    let warnings = 0;
    const { train, found } = counting();
    void start({ train: warnedOfLoss(train, () => warnings++) });
    await log.nth('connected');
    expect(warnings).toBe(0);
    await play('a1');
    weighed('a1');
    await play('a2', { round: 5 });
    expect(warnings).toBe(1);
    expect(found).toEqual([null, 1]);
  });

  it('does not warn where nothing is', async () => {
    let warnings = 0;
    void start({
      train: warnedOfLoss(
        (request) => Promise.resolve(trained(request)),
        () => warnings++,
      ),
    });
    await log.nth('connected');
    await play('a1');
    expect(warnings).toBe(0);
  });
});
