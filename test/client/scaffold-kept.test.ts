import { describe, expect, it } from 'vitest';
import type { ClientStorage } from '../../client/types.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { warnedOfLoss } from '../../server/cli/join/state.js';
import { accept, refuse } from './support/fake-coordinator.js';
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
import { asked, counting, memory, play, startOne, tells, weighed } from './support/kept.js';

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
