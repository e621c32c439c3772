/** Who is let in how fast, who is sent away, and when those may come back. */
import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { addressesBehind, neighbourhood } from '../../server/adapters/addresses.js';
import { Crowd } from '../../server/adapters/crowd.js';
import { Pace, jittered, returnAfterMs, withRetryAfter } from '../../server/adapters/pace.js';
import type { Request } from '../../server/adapters/peers.js';
import { checkPlain } from '../../server/adapters/plain-json.js';
import { Strangers } from '../../server/adapters/strangers.js';

const random =
  (seed: number): (() => number) =>
  () =>
    (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;

/** A request as far as limits look at it. */
function from(remoteAddress: string, forwarded?: string): Request {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  return { headers, socket: { remoteAddress } };
}

describe('two thousand clients that come back at once', () => {
  /** All come at time 0; whoever is sent away comes again when it was told. */
  function arrivals(perSecond: number, count: number): { at: number; admitted: boolean }[] {
    let now = 0;
    const pace = new Pace({ burst: perSecond, perSecond }, () => now, random(7));
    const coming = Array.from({ length: count }, () => 0);
    const log: { at: number; admitted: boolean }[] = [];
    while (coming.length > 0) {
      coming.sort((a, b) => b - a);
      now = coming.pop()!;
      const wait = pace.take();
      log.push({ at: now, admitted: wait === null });
      if (wait !== null) coming.push(now + wait);
    }
    return log;
  }

  it('are let in at the rate, spread over the time that it takes', () => {
    const log = arrivals(200, 2_000);
    const admitted = log.filter((entry) => entry.admitted).map(({ at }) => at);
    expect(admitted).toHaveLength(2_000);
    const last = admitted.at(-1)!;
    expect(last).toBeGreaterThan(8_500);
    expect(last).toBeLessThan(13_000);
    const bySecond = Array.from(
      { length: Math.ceil(last / 1000) },
      (_, s) => admitted.filter((at) => at >= s * 1000 && at < (s + 1) * 1000).length,
    );
    expect(Math.max(...bySecond)).toBeLessThanOrEqual(400);
    // Nearly all come back once: the time that they were told was theirs.
    expect(log.length).toBeLessThan(2_000 * 2.2);
  });

  it('are sent home from a coordinator that stops each with another time', () => {
    const chance = random(3);
    const times = Array.from({ length: 2_000 }, () => returnAfterMs(2_000, 200, chance));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...times)).toBeLessThanOrEqual(11_000);
    for (let from = 1_000; from < 11_000; from += 1_000) {
      const inSecond = times.filter((ms) => ms >= from && ms < from + 1_000).length;
      expect(inSecond).toBeGreaterThan(140);
      expect(inSecond).toBeLessThan(260);
    }
  });

  it('never wait for longer than a minute for those who do not come back', () => {
    const pace = new Pace(
      { burst: 1, perSecond: 1 },
      () => 0,
      () => 0,
    );
    expect(pace.take()).toBeNull();
    const waits = Array.from({ length: 200 }, () => pace.take());
    expect(waits.slice(0, 3)).toEqual([1_000, 2_000, 3_000]);
    expect(waits.at(-1)).toBe(60_000);
  });
});

describe('a time to come back', () => {
  it('is never earlier than asked for, and has chance in it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (ms, c) => {
          const time = jittered(ms, () => c);
          expect(time).toBeGreaterThanOrEqual(ms);
          expect(time).toBeLessThanOrEqual(2 * ms);
        },
      ),
    );
  });

  it('is told with what passes by itself, and left as it is where there is one', () => {
    const half = (): number => 0.5;
    for (const code of ['rate_limited', 'busy', 'storage_full', 'storage_unavailable'] as const) {
      expect(withRetryAfter(new TributaryError(code, ''), half).retryAfterMs).toBe(3_000);
    }
    for (const code of ['bad_request', 'late', 'internal'] as const) {
      expect(withRetryAfter(new TributaryError(code, ''), half).retryAfterMs).toBeUndefined();
    }
    const own = new TributaryError('busy', '', undefined, { retryAfterMs: 77 });
    expect(withRetryAfter(own)).toBe(own);
  });
});

describe('the address of a peer', () => {
  it.each([
    [0, '10.0.0.1', '6.6.6.6', '10.0.0.1'],
    [1, '10.0.0.1', '6.6.6.6, 7.7.7.7', '7.7.7.7'],
    [2, '10.0.0.1', '6.6.6.6, 7.7.7.7', '6.6.6.6'],
    [['10.0.0.0/8'], '10.0.0.1', '6.6.6.6, 10.9.9.9', '6.6.6.6'],
    [['10.0.0.0/8'], '8.8.8.8', '6.6.6.6', '8.8.8.8'],
    [1, '10.0.0.1', undefined, '10.0.0.1'],
  ])('behind %j: %s with %s is %s', (trustProxy, remote, forwarded, expected) => {
    const addresses = addressesBehind(trustProxy);
    expect(addresses.of(from(remote, forwarded))).toBe(expected);
    expect(addresses.isProxy(remote)).toBe(trustProxy !== 0 && remote !== '8.8.8.8');
  });

  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:DB8:1:2::9', '2001:db8:1:2'],
    ['2001:db8::9', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
    ['', ''],
    ['9.9.9.9:5071', '9.9.9.9'],
    ['x'.repeat(9_000), 'x'.repeat(64)],
  ])('counts by its neighbourhood: %s as %s', (address, expected) => {
    expect(neighbourhood(address)).toBe(expected);
  });
});

describe('calls without a good token', () => {
  const rate = { burst: 3, perSecond: 1 };
  const none = (): Promise<null> => Promise.resolve(null);
  const anna = (): Promise<string> => Promise.resolve('anna');
  const limited = { code: 'rate_limited' };

  it('are bounded by address, and looked up no more', async () => {
    let now = 0;
    const strangers = new Strangers(rate, addressesBehind(0), () => now);
    let looks = 0;
    const guess = (address: string): Promise<unknown> =>
      strangers.lookUp(from(address), `guess-${looks}`, () => {
        looks++;
        return none();
      });
    for (let i = 0; i < 3; i++) expect(await guess('6.6.6.6')).toBeNull();
    await expect(guess('6.6.6.6')).rejects.toMatchObject(limited);
    await expect(guess('6.6.6.6')).rejects.toSatisfy(
      (error: TributaryError) => error.retryAfterMs! >= 2_000,
    );
    expect(looks).toBe(3);
    expect(await guess('7.7.7.7')).toBeNull();
    now += 1_000;
    expect(await guess('6.6.6.6')).toBeNull();
  });

  it('do not count against whoever has a good token', async () => {
    const strangers = new Strangers(rate, addressesBehind(0), () => 0);
    for (let i = 0; i < 20; i++) {
      expect(await strangers.lookUp(from('1.1.1.1'), 'good', anna)).toBe('anna');
    }
    for (let i = 0; i < 3; i++) await strangers.lookUp(from('1.1.1.1'), `bad${i}`, none);
    await expect(strangers.lookUp(from('1.1.1.1'), 'bad', none)).rejects.toMatchObject(limited);
    expect(await strangers.lookUp(from('1.1.1.1'), 'good', anna)).toBe('anna');
    // Once it is good no longer, it is a stranger's.
    expect(await strangers.lookUp(from('1.1.1.1'), 'good', none)).toBeNull();
    await expect(strangers.lookUp(from('1.1.1.1'), 'good', none)).rejects.toMatchObject(limited);
  });

  it('count while they are looked up, and not where the look itself failed', async () => {
    const strangers = new Strangers(rate, addressesBehind(0), () => 0);
    const broken = (): Promise<null> => Promise.reject(new Error('no database'));
    for (let i = 0; i < 9; i++) {
      await expect(strangers.lookUp(from('1.1.1.1'), 'x', broken)).rejects.toThrow('no database');
    }
    const many = Array.from({ length: 9 }, (_, i) =>
      strangers.lookUp(from('1.1.1.1'), `y${i}`, none).catch((e: unknown) => e),
    );
    const answers = await Promise.all(many);
    expect(answers.filter((answer) => answer === null)).toHaveLength(3);
  });

  it('to enrol oneself are bounded with them', () => {
    const strangers = new Strangers(rate, addressesBehind(1), () => 0);
    for (let i = 0; i < 3; i++) strangers.call(from('10.0.0.1', '6.6.6.6'));
    expect(() => strangers.call(from('10.0.0.1', '6.6.6.6'))).toThrow(
      expect.objectContaining(limited),
    );
    strangers.call(from('10.0.0.1', '7.7.7.7'));
  });
});

describe('connections behind a proxy', () => {
  it('are bounded by who is behind it, and make room when they end', () => {
    const crowd = new Crowd(2, addressesBehind(1));
    const enter = (address: string): [EventEmitter, TributaryError | null] => {
      const until = new EventEmitter();
      return [until, crowd.enter(from('10.0.0.1', address), until)];
    };
    const [first, why] = enter('6.6.6.6');
    expect([why, enter('6.6.6.6')[1]]).toEqual([null, null]);
    const refused = enter('6.6.6.6')[1];
    expect(refused?.code).toBe('rate_limited');
    expect(refused?.retryAfterMs).toBeGreaterThan(0);
    expect(enter('7.7.7.7')[1]).toBeNull();
    first.emit('close');
    expect(enter('6.6.6.6')[1]).toBeNull();
    expect(enter('6.6.6.6')[1]?.code).toBe('rate_limited');
  });
});

describe('JSON of a peer', () => {
  const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));

  it('may nest to 64 levels, and no deeper, however deep it is', () => {
    expect(() => checkPlain(nested(64), 'body')).not.toThrow();
    for (const levels of [65, 10_000]) {
      expect(() => checkPlain(nested(levels), 'body')).toThrow('nests deeper than 64 levels');
    }
    expect(() => checkPlain({ a: [{ b: nested(62) }] }, 'body')).toThrow('64 levels');
  });

  it('may not reach for a prototype', () => {
    for (const text of ['{"__proto__":{"isAdmin":true}}', '[{"a":[{"__proto__":1}]}]']) {
      expect(() => checkPlain(JSON.parse(text), 'body')).toThrow('"__proto__" is no name');
    }
    const harmless: unknown = JSON.parse('{"constructor":{"prototype":{"isAdmin":true}}}');
    expect(() => checkPlain(harmless, 'body')).not.toThrow();
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  it.each([null, 5, 'text', true, undefined, {}, []])('may be %j', (value) => {
    expect(() => checkPlain(value, 'body')).not.toThrow();
  });
});
