/** The parts of which taking part is made, each by itself. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { orAborted, sleep } from '../../client/abort.js';
import { parseAddress, resolvePath } from '../../client/address.js';
import { backoffMs } from '../../client/backoff.js';
import { sha256Of } from '../../client/digest.js';
import { ConnectionLost } from '../../client/http.js';
import { retry } from '../../client/retry.js';
import { SharedCache } from '../../client/shared-cache.js';
import { throttle } from '../../client/throttle.js';
import { Turns } from '../../client/turns.js';
import { Watchdog } from '../../client/watchdog.js';
import { Work } from '../../client/work.js';
import { TributaryError } from '../../protocol/errors.js';
import { VirtualClock, virtualEnvironment } from './support/virtual-clock.js';

const never = new AbortController().signal;

/** Lets everything run that waits for nothing but other promises. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('back-off', () => {
  it('grows by half from the first wait to the cap, and is never less than half of the step', () => {
    const steps = [0, 1, 2, 3, 4, 7, 8, 60, 2000];
    expect(steps.map((n) => backoffMs(n, () => 0))).toEqual([
      125, 187.5, 281.25, 421.875, 632.8125, 2135.7421875, 2500, 2500, 2500,
    ]);
    expect(steps.map((n) => Math.ceil(backoffMs(n, () => 1 - 2 ** -53)))).toEqual([
      250, 375, 563, 844, 1266, 4272, 5000, 5000, 5000,
    ]);
  });

  it('spreads clients out at the cap, too', () => {
    const waits = [0.1, 0.5, 0.9].map((value) => backoffMs(40, () => value));
    expect(waits).toEqual([2750, 3750, 4750]);
  });
});

describe('retry', () => {
  const passing = new ConnectionLost('cut');

  it('waits for the back-off between attempts, and no longer', async () => {
    const clock = new VirtualClock();
    let calls = 0;
    const attempt = () => (++calls < 4 ? Promise.reject(passing) : Promise.resolve('done'));
    const result = retry(attempt, { environment: virtualEnvironment(clock), signal: never });
    for (const [ms, before] of [
      [187.5, 1],
      [281.25, 2],
      [421.875, 3],
    ]) {
      await settled();
      clock.advance(ms - 0.5);
      await settled();
      expect(calls).toBe(before);
      clock.advance(0.5);
    }
    expect(await result).toBe('done');
    expect(clock.pending).toBe(0);
  });

  it.each([
    ['an error that says that repeating is of no use', new TributaryError('bad_request', 'no')],
    ['a bug', new TypeError('x is not a function')],
  ])('does not repeat %s', async (_, error) => {
    let calls = 0;
    const attempt = () => {
      calls++;
      return Promise.reject(error);
    };
    const environment = virtualEnvironment(new VirtualClock());
    await expect(retry(attempt, { environment, signal: never })).rejects.toBe(error);
    expect(calls).toBe(1);
  });

  it('ends with the reason of its signal, in the middle of a wait', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const { signal } = controller;
    const environment = virtualEnvironment(clock);
    const result = retry(() => Promise.reject(passing), { environment, signal });
    result.catch(() => undefined);
    await settled();
    expect(clock.pending).toBe(1);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(result).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });
});

describe('waiting with a signal', () => {
  it('ends at once where the signal was aborted before', async () => {
    const environment = virtualEnvironment(new VirtualClock());
    await expect(sleep(1000, AbortSignal.abort('gone'), environment)).rejects.toThrow('gone');
    const failing = Promise.reject(new Error('nobody listens any more'));
    await expect(orAborted(failing, AbortSignal.abort('gone'))).rejects.toThrow('gone');
  });
});

describe('a watchdog', () => {
  it('barks when what was expected did not happen, counted from the last expectation', () => {
    const clock = new VirtualClock();
    const watchdog = new Watchdog(clock, never);
    watchdog.expect(1000);
    clock.advance(900);
    watchdog.expect(1000);
    clock.advance(900);
    expect(watchdog.signal.aborted).toBe(false);
    clock.advance(100);
    expect(watchdog.signal.reason).toMatchObject({ message: 'nothing moved for 1 s' });
  });

  it('follows its parent until it is stopped', () => {
    const clock = new VirtualClock();
    const [first, second] = [new AbortController(), new AbortController()];
    const followed = new Watchdog(clock, first.signal);
    first.abort('over');
    expect(followed.signal.reason).toBe('over');
    const stopped = new Watchdog(clock, second.signal);
    stopped.expect(10);
    stopped.stop();
    second.abort();
    clock.advance(20);
    expect(stopped.signal.aborted).toBe(false);
  });
});

describe('work', () => {
  it('ends its requests at once while it computes, and after a grace while it sends', () => {
    const clock = new VirtualClock();
    const [computing, sending] = [new Work(clock), new Work(clock)];
    sending.beginSending();
    for (const work of [computing, sending]) work.stop('deadline');
    expect([computing.signal.aborted, computing.wire.aborted]).toEqual([true, true]);
    expect([sending.signal.aborted, sending.wire.aborted]).toEqual([true, false]);
    clock.advance(5_000);
    expect(sending.wire.reason).toMatchObject({ name: 'AbortError', message: 'deadline' });
    expect(() => computing.beginSending()).toThrow('deadline');
  });

  it('leaves no timer behind when it has ended', () => {
    const clock = new VirtualClock();
    const work = new Work(clock);
    work.beginSending();
    work.stop('deadline');
    work.settle();
    expect(clock.pending).toBe(0);
  });
});

describe('throttle', () => {
  it('passes the first at once, then the newest of each interval', () => {
    const clock = new VirtualClock();
    const sent: [number, number][] = [];
    const throttled = throttle((value: number) => sent.push([clock.now, value]), 250, clock);
    for (let value = 0; value < 100; value++) {
      throttled(value);
      clock.advance(10);
    }
    clock.advance(1000);
    expect(sent).toEqual([
      [0, 0],
      [250, 24],
      [500, 49],
      [750, 74],
      [1000, 99],
    ]);
    throttled(100);
    throttled(101);
    throttled.stop();
    throttled(102);
    clock.advance(1000);
    expect(sent.slice(5)).toEqual([[2000, 100]]);
  });
});

describe('turns', () => {
  it('run one after the other, whatever becomes of those before', async () => {
    const turns = new Turns();
    const course: string[] = [];
    const job =
      (name: string, fail = false) =>
      async () => {
        course.push(`${name} begins`);
        await settled();
        course.push(`${name} ends`);
        if (fail) throw new Error(name);
        return name;
      };
    const results = await Promise.allSettled([
      turns.take(job('a', true), never),
      turns.take(job('b'), AbortSignal.abort()),
      turns.take(job('c'), never),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(course).toEqual(['a begins', 'a ends', 'c begins', 'c ends']);
    await turns.idle();
  });
});

describe('a shared cache', () => {
  it('loads once for all who ask at the same time, and again after a failure', async () => {
    const cache = new SharedCache<number>(2);
    let loads = 0;
    const failOnce = async () => {
      await settled();
      if (++loads === 1) throw new Error('cut');
      return 7;
    };
    const both = await Promise.allSettled([
      cache.get('k', failOnce, never),
      cache.get('k', failOnce, never),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(loads).toBe(1);
    expect(await cache.get('k', failOnce, never)).toBe(7);
    expect(await cache.get('k', failOnce, never)).toBe(7);
    expect(loads).toBe(2);
  });

  it('keeps what was used last', async () => {
    const cache = new SharedCache<string>(2);
    const loads: string[] = [];
    const get = (key: string) =>
      cache.get(
        key,
        () => {
          loads.push(key);
          return Promise.resolve(key);
        },
        never,
      );
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await get(key);
    expect(loads).toEqual(['a', 'b', 'c', 'b']);
  });

  it('aborts a load when the last who waited has gone, not before', async () => {
    const cache = new SharedCache<string>(2);
    const waiting = [new AbortController(), new AbortController()];
    let loading: AbortSignal | undefined;
    const load = (signal: AbortSignal) => {
      loading = signal;
      return new Promise<string>(() => undefined);
    };
    const results = waiting.map(({ signal }) => cache.get('k', load, signal));
    for (const result of results) result.catch(() => undefined);
    waiting[0].abort();
    await settled();
    expect(loading?.aborted).toBe(false);
    waiting[1].abort();
    await settled();
    expect(loading?.aborted).toBe(true);
    expect(await cache.get('k', () => Promise.resolve('new'), never)).toBe('new');
  });
});

describe('an address', () => {
  it.each([
    ['http://host:3000', 'http://host:3000/v1/x', '/socket.io'],
    ['https://host/fl', 'https://host/fl/v1/x', '/fl/socket.io'],
    ['https://host/a/b/?q=1#top', 'https://host/a/b/v1/x', '/a/b/socket.io'],
  ])('%s keeps its prefix', (url, expected, socketPath) => {
    const address = parseAddress(url);
    expect(resolvePath(address, '/v1/x').href).toBe(expected);
    expect(address.socketPath).toBe(socketPath);
  });

  it.each(['https://evil.example/v1', '/../../other', '/v1/..%2f/../../../x', '\\\\evil.example'])(
    'does not let the path %s lead away',
    (path) => {
      expect(() => resolvePath(parseAddress('https://host/fl/'), path)).toThrow('leads away');
    },
  );

  it('takes a path with two slashes for a path', () => {
    const url = resolvePath(parseAddress('https://host/'), '//evil.example/v1');
    expect(url.href).toBe('https://host/evil.example/v1');
  });
});

describe('sha256', () => {
  it('is the same with WebCrypto and in pages that have none', async () => {
    for (const length of [0, 1, 63, 64, 1000]) {
      const bytes = Uint8Array.from({ length }, (_, index) => (index * 7) % 256);
      const expected = createHash('sha256').update(bytes).digest('hex');
      expect(await sha256Of(bytes)).toBe(expected);
      expect(await sha256Of(bytes, null)).toBe(expected);
    }
  });
});
