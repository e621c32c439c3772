/** Finding the coordinator, staying with it, and leaving. */
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../protocol/errors.js';
import { accept, refuse } from './support/fake-coordinator.js';
import {
  coordinator,
  clock,
  log,
  leave,
  useHarness,
  start,
  finishRun,
  nowTrain,
  heldTraining,
  until,
} from './support/harness.js';

useHarness();

describe('connecting', () => {
  it.each<ErrorCode>(['unauthorized', 'forbidden'])(
    'ends with %s where the socket is refused',
    async (code) => {
      coordinator.onConnect = () => code;
      await expect(start()).rejects.toMatchObject({ name: 'TributaryError', code });
    },
  );

  it.each<ErrorCode>(['protocol_version', 'run_over'])(
    'ends with %s where hello is refused',
    async (code) => {
      coordinator.onHello = () => code;
      await expect(start()).rejects.toMatchObject({ name: 'TributaryError', code });
      await until(() => coordinator.connections === 0);
    },
  );

  it('ends with unauthorized where the token is taken back during an upload', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('unauthorized')];
    await expect(start({ train: nowTrain })).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('comes back to a coordinator that is shutting down, and waits longer each time', async () => {
    let refusals = 0;
    coordinator.onConnect = () => (++refusals <= 6 ? 'shutting_down' : undefined);
    void start();
    await log.nth('connected');
    expect(log.of('disconnected').map(({ delayMs }) => delayMs)).toEqual([
      187.5, 281.25, 421.875, 632.8125, 949.21875, 1423.828125,
    ]);
  });

  it('waits longer where it is thrown out again at once, and starts afresh after a stable time', async () => {
    void start();
    for (const n of [1, 2, 3]) {
      await log.nth('connected', n);
      coordinator.cutAll();
    }
    await log.nth('connected', 4);
    clock.advance(1_000);
    coordinator.cutAll();
    await log.nth('connected', 5);
    expect(log.of('disconnected').map(({ delayMs }) => delayMs)).toEqual([
      187.5, 281.25, 421.875, 187.5,
    ]);
  });

  it('starts afresh after a receipt, too, however soon it is thrown out again', async () => {
    void start({ train: nowTrain });
    await log.nth('connected');
    coordinator.cutAll();
    await log.nth('connected', 2);
    coordinator.cutAll();
    coordinator.open = [coordinator.assignment('a1')];
    await log.nth('receipt');
    coordinator.cutAll();
    await log.nth('connected', 4);
    expect(log.of('disconnected').map(({ delayMs }) => delayMs)).toEqual([187.5, 281.25, 187.5]);
  });

  it('tries again where the coordinator does not answer hello', async () => {
    coordinator.onHello = () => 'silence';
    void start();
    await until(() => coordinator.hellos.length === 1);
    coordinator.onHello = () => undefined;
    clock.advance(10_000);
    await log.nth('connected');
    expect(log.of('disconnected').map(({ error }) => error.message)).toEqual([
      'no answer to hello',
    ]);
    await until(() => coordinator.connections === 1);
  });

  it('leaves the place to another process that joined with its token', async () => {
    const { train, requests } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    const summary = start({ train });
    await until(() => requests.length === 1);
    coordinator.sayGoodbye('replaced');
    await expect(summary).rejects.toMatchObject({ code: 'replaced' });
    expect(requests[0].signal.aborted).toBe(true);
    expect(coordinator.hellos).toHaveLength(1);
  });

  it('comes back after a goodbye that is only for a while', async () => {
    void start();
    await log.nth('connected');
    coordinator.sayGoodbye('shutting_down');
    await log.nth('connected', 2);
    expect(log.of('disconnected')[0].error).toMatchObject({ code: 'shutting_down' });
  });

  it('ends at once where the run was over before', async () => {
    coordinator.status = 'failed';
    expect(await start()).toMatchObject({ status: 'failed', clientId: 'anna' });
  });

  it.each([
    ['url', { url: 'localhost:3000' }],
    ['url', { url: 'http://anna:secret@localhost' }],
    ['token', { token: 'two\nlines' }],
    ['token', { token: '' }],
    ['options: oracleBatches', { oracle: { batches: 1.5, open: () => expect.unreachable() } }],
  ])('refuses a %s that cannot work', async (what, options) => {
    const refused = start(options);
    await expect(refused).rejects.toMatchObject({ code: 'bad_request' });
    await expect(refused).rejects.toThrow(new RegExp(`^${what}`));
  });
});

describe('leaving', () => {
  it('aborts local work, disconnects, and says what was done', async () => {
    const { train, requests } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    const summary = start({ train });
    await until(() => requests.length === 1);
    leave.abort();
    expect(await summary).toMatchObject({ status: 'left', clientId: 'anna', rounds: [] });
    expect(requests[0].signal.aborted).toBe(true);
    await until(() => coordinator.connections === 0);
    expect(coordinator.declines).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('does not connect where the caller has left before', async () => {
    leave.abort();
    expect(await start()).toMatchObject({ status: 'left', runId: null, role: null });
    expect(coordinator.hellos).toEqual([]);
  });

  it('waits for the receipt of an update that is on its way', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    const summary = start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    finishRun();
    await log.nth('run');
    accept(coordinator.arrivals[0]);
    expect(await summary).toMatchObject({ status: 'completed', rounds: [4] });
  });

  it('does not wait for ever for a function that ignores its signal', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    let called = false;
    const summary = start({
      train: () => {
        called = true;
        return new Promise(() => undefined);
      },
    });
    await until(() => called);
    leave.abort();
    await until(() => clock.pending > 0);
    // Twice, since the first may come before the wait has begun.
    for (let settled = false; !settled;) {
      clock.advance(5_000);
      settled = await Promise.race([
        summary.then(() => true),
        new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
      ]);
    }
    expect((await summary).status).toBe('left');
  });
});
