import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { Closers } from '../../server/adapters/closers.js';
import { fileBudget } from '../../server/adapters/file-budget.js';
import { UploadSlots } from '../../server/adapters/http/upload.js';
import { originPolicy } from '../../server/adapters/origins.js';
import { RateLimit } from '../../server/adapters/socket/rate-limit.js';
import { systemClock } from '../../server/adapters/system-clock.js';

describe('the rate of messages', () => {
  it('allows a burst, then as many as the time has brought', () => {
    let now = 0;
    const limit = new RateLimit({ burst: 3, perSecond: 2 }, () => now);
    const taken = (n: number) => Array.from({ length: n }, () => limit.take());
    expect(taken(4)).toEqual([true, true, true, false]);
    now += 499;
    expect(limit.take()).toBe(false);
    now += 1;
    expect(taken(2)).toEqual([true, false]);
    now += 60_000; // no more than a burst is saved up
    expect(taken(4)).toEqual([true, true, true, false]);
  });
});

describe('uploads of one client', () => {
  it('are bounded one client at a time, also where they fail', async () => {
    const slots = new UploadSlots(2);
    const ends: (() => void)[] = [];
    const upload = (who: string) =>
      slots.hold(who, () => new Promise<void>((resolve) => ends.push(resolve)));
    const [first, second] = [upload('a'), upload('a')];
    await expect(upload('a')).rejects.toMatchObject({ code: 'rate_limited' });
    const other = upload('b');
    ends[0]();
    await first;
    await expect(slots.hold('a', () => Promise.reject(new Error('cut')))).rejects.toThrow('cut');
    const third = upload('a');
    for (const end of ends) end();
    await Promise.all([second, third, other]);
  });
});

describe('uploads of all clients', () => {
  it('are bounded together, also where some fail', async () => {
    const slots = new UploadSlots(4, 2);
    let end: () => void = () => undefined;
    const ends = new Promise<void>((resolve) => (end = resolve));
    const first = slots.hold('a', () => ends);
    await expect(slots.hold('b', () => Promise.reject(new Error('cut')))).rejects.toThrow('cut');
    const second = slots.hold('b', () => ends);
    await expect(slots.hold('c', () => ends)).rejects.toMatchObject({ code: 'busy' });
    end();
    await Promise.all([first, second]);
    await slots.hold('c', () => ends);
  });

  it.each([300, 1024, 4096, 2 ** 20])('leave files over where %i may be open', (files) => {
    const { connections, uploads } = fileBudget(files);
    expect(connections + uploads).toBeLessThanOrEqual(files - Math.min(200, files / 4));
    expect(connections).toBeGreaterThanOrEqual(files / 2);
    expect(uploads).toBeGreaterThanOrEqual(75);
  });

  it('are not bounded where nobody knows the limit', () => {
    expect(fileBudget(Infinity)).toEqual({ connections: Infinity, uploads: Infinity });
  });
});

describe('the origins that pages may come from', () => {
  const from = (origin?: string, host = 'fl.example:8080') => ({ headers: { origin, host } });
  it.each([
    [['https://a.example'], undefined, true],
    [['https://a.example'], 'https://a.example', true],
    [['https://a.example'], 'https://b.example', false],
    [['https://a.example'], 'https://a.example.evil', false],
    [[], 'http://fl.example:8080', true],
    [[], 'http://fl.example', false],
    [[], 'null', false],
    [[], 'nonsense', false],
    ['*' as const, 'null', true],
  ])('%j: %s is %s', (allowed, origin, expected) => {
    expect(originPolicy({ allowed, publicUrl: null }).allows(from(origin))).toBe(expected);
  });

  it('include the public address', () => {
    const policy = originPolicy({ allowed: [], publicUrl: 'https://fl.example.org/lab' });
    expect(policy.allows(from('https://fl.example.org'))).toBe(true);
    expect(policy.crossOrigin).toBe(false);
  });
});

describe('the clock of the machine', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('wakes at its time, also past what a timer can count to', () => {
    const woken: string[] = [];
    const clock = systemClock();
    const day = 86_400_000;
    clock.wakeAt(clock.now() + 100 * day, () => woken.push('far'));
    clock.wakeAt(clock.now() - 5, () => woken.push('past'));
    clock.wakeAt(Infinity, () => woken.push('never'))();
    const cancel = clock.wakeAt(clock.now() + day, () => woken.push('cancelled'));
    expect(woken).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(woken).toEqual(['past']);
    cancel();
    vi.advanceTimersByTime(99 * day);
    expect(woken).toEqual(['past']);
    vi.advanceTimersByTime(day);
    expect(woken).toEqual(['past', 'far']);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('stopping', () => {
  it('goes in the opposite order, once, and past what fails', async () => {
    const done: string[] = [];
    const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const closers = new Closers(log);
    closers.add('database', () => Promise.resolve(void done.push('database')));
    closers.add('store', () => Promise.reject(new TributaryError('storage_unavailable', 'gone')));
    closers.add('doors', () => Promise.resolve(void done.push('doors')));
    await Promise.all([closers.close(), closers.close()]);
    expect(done).toEqual(['doors', 'database']);
    expect(log.error).toHaveBeenCalledExactlyOnceWith(
      expect.anything(),
      'store did not stop cleanly',
    );
  });
});
