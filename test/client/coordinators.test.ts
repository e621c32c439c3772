/** Several coordinators on one run: which one a client talks to, and how long it leaves them alone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { politeMs } from '../../client/backoff.js';
import type { ErrorCode } from '../../protocol/errors.js';
import { FakeCoordinator, refuse } from './support/fake-coordinator.js';
import {
  coordinator,
  finishRun,
  heldTraining,
  log,
  nowTrain,
  start,
  until,
  useHarness,
} from './support/harness.js';

useHarness();

let other: FakeCoordinator;
beforeEach(async () => {
  other = await FakeCoordinator.start();
});
afterEach(() => other.close());

function delays(): number[] {
  return log.of('disconnected').map(({ delayMs }) => delayMs);
}

describe('one that asks to be left alone', () => {
  it.each<ErrorCode>(['not_approved', 'busy', 'standby', 'shutting_down'])(
    'with %s is left alone for so long and a little more',
    async (code) => {
      let refusals = 0;
      coordinator.retryAfterMs = 8_000;
      coordinator.onConnect = () => (++refusals <= 2 ? code : undefined);
      void start();
      await log.nth('connected');
      expect(delays()).toEqual([9_000, 9_000]);
      expect(log.of('disconnected')[0].error).toMatchObject({ code, retryAfterMs: 8_000 });
    },
  );

  it.each<ErrorCode>(['revoked', 'token_expired'])('with %s is left for good', async (code) => {
    coordinator.onConnect = () => code;
    await expect(start()).rejects.toMatchObject({ code });
  });

  it('during an upload ends the client where its token is good for nothing any more', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('revoked')];
    await expect(start({ train: nowTrain })).rejects.toMatchObject({ code: 'revoked' });
  });

  it('sees clients come back spread over a quarter of the time, and never before it', () => {
    const random = [0, 0.5, 1 - 2 ** -53];
    expect(random.map((value) => Math.round(politeMs(20_000, 300, () => value)))).toEqual([
      20_000, 22_500, 25_000,
    ]);
    expect(politeMs(100, 300, () => 0.5)).toBe(300);
    expect(politeMs(0, 300, () => 0.5)).toBe(300);
  });
});

describe('one of several', () => {
  it('that stands by is passed over without a wait', async () => {
    coordinator.onConnect = () => 'standby';
    coordinator.retryAfterMs = 60_000;
    const summary = start({ url: [coordinator.url, other.url], train: nowTrain });
    await log.nth('connected');
    expect(delays()).toEqual([0]);
    other.emit('assignment', other.assignment('a1'));
    await log.nth('receipt');
    expect([other.arrivals.length, coordinator.arrivals.length]).toEqual([1, 0]);
    expect(coordinator.gets).toEqual([]);
    other.emit('run', { status: 'completed', round: 4, rounds: 4, version: 4 });
    await summary;
  });

  it('that cannot be reached is passed over', async () => {
    const gone = await FakeCoordinator.start();
    const { url } = gone;
    await gone.close();
    void start({ url: [url, other.url] });
    await log.nth('connected');
    expect(other.hellos).toHaveLength(1);
  });

  it('is tried again after a wait when none would serve, the longer the more often', async () => {
    let refusals = 0;
    for (const each of [coordinator, other])
      each.onConnect = () => (++refusals <= 5 ? 'standby' : undefined);
    void start({ url: [coordinator.url, other.url] });
    await log.nth('connected');
    expect(delays()).toEqual([0, 187.5, 0, 281.25, 0]);
    expect([coordinator.hellos.length, other.hellos.length]).toEqual([0, 1]);
  });

  it('is left alone for as long as it asked, also where the other did not say', async () => {
    coordinator.retryAfterMs = 8_000;
    let refusals = 0;
    for (const each of [coordinator, other])
      each.onConnect = () => (++refusals <= 2 ? 'standby' : undefined);
    void start({ url: [coordinator.url, other.url] });
    await log.nth('connected');
    expect(delays()).toEqual([0, 9_000]);
    expect(coordinator.hellos).toHaveLength(1);
  });

  it('does not keep the client from the other for as long as it likes', async () => {
    coordinator.retryAfterMs = 3_000_000;
    coordinator.onConnect = () => 'busy';
    let refusals = 0;
    other.onConnect = () => (++refusals === 1 ? 'shutting_down' : undefined);
    void start({ url: [coordinator.url, other.url] });
    await log.nth('connected');
    expect(delays()).toEqual([0, 67_500, 0]);
    expect(other.hellos).toHaveLength(1);
  });

  it('does not hold an update back for as long as it likes', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('shutting_down', undefined, 3_000_000)];
    void start({ url: [coordinator.url, other.url], train: nowTrain });
    await log.nth('receipt');
    expect(other.arrivals).toHaveLength(1);
    expect(log.of('retry').map(({ delayMs }) => delayMs)).toEqual([67_500]);
  });

  it('takes over the work of one that was lost, without training again', async () => {
    const { train, requests, release } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    other.open = [other.assignment('a1')];
    void start({ url: [coordinator.url, other.url], train });
    await until(() => requests.length === 1);
    coordinator.onConnect = () => 'shutting_down';
    coordinator.cutAll();
    await log.nth('connected', 2);
    await until(() => other.heartbeats.length === 1);
    release();
    await log.nth('receipt');
    expect(requests).toHaveLength(1);
    expect([coordinator.arrivals.length, other.arrivals.length]).toEqual([0, 1]);
  });

  it('is sent the same update where the other did not answer', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [(arrival) => arrival.cut()];
    const summary = start({ url: [coordinator.url, other.url], train: nowTrain });
    await log.nth('receipt');
    expect(other.arrivals).toHaveLength(1);
    expect(other.arrivals[0].body).toEqual(coordinator.arrivals[0].body);
    finishRun();
    expect(await summary).toMatchObject({ rounds: [4] });
  });

  it('must be named', async () => {
    await expect(start({ url: [] })).rejects.toThrow(/^url: name at least one/);
    await expect(start({ url: [coordinator.url, 'ftp://x'] })).rejects.toThrow(/^url: "ftp/);
  });
});

describe('the only one', () => {
  it('may ask for an hour', async () => {
    coordinator.retryAfterMs = 10 ** 12;
    let refusals = 0;
    coordinator.onConnect = () => (++refusals === 1 ? 'busy' : undefined);
    void start();
    await log.nth('connected');
    expect(delays()).toEqual([3_600_000 * 1.125]);
  });
});

describe('requests', () => {
  it('are called by their assignment, each by a name of its own', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('busy'), refuse('truncated'), ...coordinator.answers];
    void start({ train: nowTrain });
    await log.nth('receipt');
    const ids = coordinator.arrivals.map(({ requestId }) => requestId ?? '');
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^a1\.\d+$/);
    expect(coordinator.getIds.length).toBeGreaterThan(0);
    for (const id of coordinator.getIds) expect(id).toMatch(/^[a-z0-9]{8}\.\d+$/);
  });
});
