/** Several coordinators, one of which stands still with a request: when it is left, and when not. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress } from '../../client/address.js';
import type { Environment } from '../../client/environment.js';
import { Vigil } from '../../client/vigil.js';
import { accept, FakeCoordinator } from './support/fake-coordinator.js';
import { clock, coordinator, log, nowTrain, start, until, useHarness } from './support/harness.js';
import { VirtualClock } from './support/virtual-clock.js';

const SIGN = '/healthz';

describe('a coordinator that stands still', () => {
  useHarness();

  let other: FakeCoordinator;
  beforeEach(async () => {
    other = await FakeCoordinator.start();
  });
  afterEach(() => other.close());

  it('with an update is left after ten seconds, for one that gives a sign of life', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    void start({ url: [coordinator.url, other.url], train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    coordinator.silent = true;
    clock.advance(5_000);
    await until(() => coordinator.gets.includes(SIGN));
    clock.advance(4_999);
    expect(other.gets).toEqual([]);
    clock.advance(1);
    expect((await log.nth('receipt')).receipt.status).toBe('accepted');
    expect(other.gets).toEqual([SIGN]);
    expect(other.arrivals[0].body).toEqual(coordinator.arrivals[0].body);
    expect(log.of('retry')[0].error.message).toMatch(/no sign of life, and another one does$/);
    expect(clock.now).toBe(10_000 + 187.5);
  });

  it('is waited for where there is no other', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    void start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    coordinator.silent = true;
    clock.advance(25_000);
    accept(coordinator.arrivals[0]);
    await log.nth('receipt');
    expect(coordinator.gets).not.toContain(SIGN);
    expect(coordinator.arrivals).toHaveLength(1);
  });
});

/** The coordinators of one vigil, and how long each takes to answer; never where nothing is said. */
function keepVigil(delays: Readonly<Partial<Record<string, number>>>, status = 200) {
  const virtual = new VirtualClock();
  const asked: string[] = [];
  const environment: Environment = {
    random: () => 0.5,
    after: virtual.after,
    fetch: ({ hostname, pathname }, { signal }) => {
      if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
      asked.push(`${hostname}${pathname}`);
      return new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
        const delayMs = delays[hostname];
        if (delayMs !== undefined)
          virtual.after(delayMs, () => resolve(new Response('{}', { status })));
      });
    },
  };
  let gone = 0;
  const [first, ...others] = ['one', 'two', 'three'].map((name) => parseAddress(`http://${name}/`));
  const vigil = new Vigil(first, others, environment, () => gone++);
  return {
    asked,
    virtual,
    vigil,
    get gone() {
      return gone;
    },
    /** So many seconds, with time for everybody to act in between. */
    pass: async (seconds: number): Promise<void> => {
      for (let step = 0; step < seconds * 2; step++) {
        virtual.advance(500);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

describe('a vigil', () => {
  it('goes on for as long as the coordinator answers, however slow it is with the request', async () => {
    const kept = keepVigil({ one: 4_000, two: 0, three: 0 });
    await kept.pass(60);
    expect(kept.gone).toBe(0);
    expect(new Set(kept.asked)).toEqual(new Set([`one${SIGN}`]));
    expect(kept.asked.length).toBeGreaterThan(5);
  });

  it('goes on while the others do not answer either, or as slowly as on a line that is full', async () => {
    for (const delays of [{}, { two: 3_000, three: 4_000 }]) {
      const kept = keepVigil(delays);
      await kept.pass(60);
      expect(kept.gone).toBe(0);
    }
  });

  it('goes on while something of the answer comes', async () => {
    const kept = keepVigil({ two: 0 });
    for (let second = 0; second < 60; second += 4) {
      await kept.pass(4);
      kept.vigil.moved();
    }
    expect([kept.gone, kept.asked]).toEqual([0, []]);
    await kept.pass(10);
    expect(kept.asked).toEqual([`one${SIGN}`]);
    kept.vigil.moved();
    await kept.pass(9);
    expect(kept.gone).toBe(0);
    await kept.pass(15);
    expect(kept.gone).toBe(1);
  });

  it('ends where any other one answers', async () => {
    const kept = keepVigil({ three: 1_000 });
    await kept.pass(14);
    expect(kept.gone).toBe(1);
  });

  it('takes no word of a proxy for that of a coordinator', async () => {
    const kept = keepVigil({ one: 0, two: 0, three: 0 }, 502);
    await kept.pass(60);
    expect(kept.gone).toBe(0);
  });

  it('leaves no timer behind when the request has ended', async () => {
    for (const seconds of [0, 3, 7, 11]) {
      const kept = keepVigil({ two: 4_000 });
      await kept.pass(seconds);
      kept.vigil.stop();
      // What is left is the answer that another one would have given.
      await kept.pass(4);
      expect([kept.gone, kept.virtual.pending]).toEqual([0, 0]);
    }
  });
});
