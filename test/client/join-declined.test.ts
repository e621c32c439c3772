/** Assignments that a client cannot do: it says so, and goes on with the next. */
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { FakeCoordinator } from './support/fake-coordinator.js';
import {
  coordinator,
  log,
  nowTrain,
  start,
  trained,
  until,
  useHarness,
} from './support/harness.js';

useHarness();

describe('when an assignment cannot be done', () => {
  it.each<[Error, string]>([
    [new RangeError('row 7: "Anna Smith" is out of range'), 'RangeError'],
    [new TributaryError('unauthorized', 'no access to /data/smith.csv'), 'unauthorized'],
    [Object.assign(new Error('born 1961'), { name: 'Anna Smith' }), 'Error'],
  ])('declines with the kind of what training threw (%o), and trains on', async (thrown, kind) => {
    let calls = 0;
    void start({
      train: (request) => {
        if (++calls === 1) throw thrown;
        return nowTrain(request);
      },
    });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await until(() => coordinator.declines.length === 1);
    // Its words may quote the data: they are for the site alone.
    const reason = `training failed at the site (${kind})`;
    expect(coordinator.declines).toEqual([{ assignmentId: 'a1', reason }]);
    expect((await log.nth('declined')).error).toBe(thrown);
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    expect((await log.nth('receipt')).work.id).toBe('a2');
  });

  it('says again that it declined, where the coordinator lists the assignment again', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.onDecline = () => {
      if (coordinator.declines.length === 1) coordinator.cutAll();
    };
    let calls = 0;
    void start({
      train: () => {
        calls++;
        return Promise.reject(new Error('no data'));
      },
    });
    await until(() => coordinator.declines.length === 2);
    expect(coordinator.declines[1]).toEqual({
      assignmentId: 'a1',
      reason: 'training failed at the site (Error)',
    });
    expect(calls).toBe(1);
  });

  it('declines what it was started without', async () => {
    coordinator.open = [coordinator.assignment('e', { kind: 'evaluate' })];
    void start({ train: nowTrain });
    expect((await log.nth('declined')).error.message).toContain('without "evaluate"');
  });

  it.each([
    ['a missing tensor', { params: {}, numExamples: 1 }, 'params: "dense/kernel" is not'],
    ['no examples', { numExamples: 0 }, 'numExamples'],
    ['a loss that is not a number', { metrics: { loss: NaN } }, 'metrics.loss'],
  ])('declines a result of training with %s', async (_, changes, message) => {
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train: (request) => Promise.resolve({ ...trained(request), ...changes }) });
    expect((await log.nth('declined')).error.message).toContain(message);
    expect(coordinator.arrivals).toEqual([]);
  });

  it('fetches a damaged checkpoint again, and trains on the whole one', async () => {
    const assignment = coordinator.assignment('a1');
    const { path } = assignment.checkpoint;
    const whole = coordinator.files.get(path)!;
    coordinator.files.set(
      path,
      whole.map((byte, index) => (index === 99 ? byte ^ 1 : byte)),
    );
    coordinator.open = [assignment];
    void start({ train: nowTrain });
    const { what, error } = await log.nth('retry');
    expect([what, error]).toMatchObject(['checkpoint', { code: 'wrong_hash' }]);
    coordinator.files.set(path, whole);
    await log.nth('receipt');
  });

  it('refuses a checkpoint that is damaged every time, without training on it', async () => {
    const assignment = coordinator.assignment('a1');
    coordinator.files.set(assignment.checkpoint.path, new Uint8Array(1_000_000));
    coordinator.open = [assignment];
    void start({ train: () => expect.unreachable() });
    expect((await log.nth('declined')).error).toMatchObject({ code: 'wrong_hash' });
    expect(coordinator.gets.filter((path) => path.includes('checkpoints'))).toHaveLength(3);
  });

  it('does not carry its token to another address', async () => {
    const stranger = await FakeCoordinator.start();
    const { checkpoint } = coordinator.assignment('a1');
    const path = `${stranger.url}/v1/runs/r/checkpoints/3`;
    coordinator.open = [coordinator.assignment('a1', { checkpoint: { ...checkpoint, path } })];
    void start({ train: nowTrain });
    expect((await log.nth('declined')).error.message).toContain('leads away');
    expect(stranger.gets).toEqual([]);
    await stranger.close();
  });
});
