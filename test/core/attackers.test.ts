/** The option `attackers` of the robust rules, and the rounds that are too small for it. */
import { describe, expect, it } from 'vitest';
import type { LossOracle } from '../../server/core/ports.js';
import { findRule, parseOptions } from '../../server/core/rules/index.js';
import type { Aggregated } from './round.js';
import { fromZero } from './support/from-zero.js';
import { updatesOf } from './support/updates.js';

function run(
  rule: string,
  options: object,
  deltas: readonly (readonly number[])[],
  oracle: LossOracle | null = null,
): Promise<Aggregated> {
  return fromZero(rule, options, updatesOf(deltas), { oracle });
}

describe('attackers', () => {
  const flat = (n: number): number[][] => Array.from({ length: n }, (_, i) => [i / 8]);
  const oneMore = [
    ['krum', { attackers: 2 }, 7, 'n >= 2f + 3'],
    ['multi-krum', { attackers: 1 }, 5, 'n >= 2f + 3'],
    ['multi-krum', { attackers: 1, select: 8 }, 8, ''],
    ['bulyan', { attackers: 1 }, 7, 'n >= 4f + 3'],
    ['median', { attackers: 3 }, 7, 'n >= 2f + 1'],
    ['geometric-median', { attackers: 2 }, 5, 'n >= 2f + 1'],
    ['centered-clipping', { attackers: 2 }, 5, 'n >= 2f + 1'],
    ['clipped-clustering', { attackers: 2 }, 5, 'n >= 2f + 1'],
    ['signguard', { attackers: 2 }, 5, 'n >= 2f + 1'],
    ['dnc', { attackers: 2 }, 5, 'n >= 2f + 1'],
    ['trimmed-mean', { attackers: 2, beta: 0.25 }, 8, 'floor(beta * n) >= f'],
    ['krum', { attackers: 0.3 }, 3, 'n >= 2f + 3'],
    ['bulyan', {}, 3, 'n >= 4f + 3'],
    ['median', { attackers: 0.49 }, 1, ''],
    ['clipped-clustering', { attackers: 0 }, 3, ''],
    ['trimmed-mean', { attackers: 0.29, beta: 0.29 }, 1, ''],
  ] as const;

  it.each(oneMore)('of %s %j ask for %i updates', async (name, options, enough, condition) => {
    const rule = findRule(name);
    expect(rule.minUpdates(parseOptions(rule, options))).toBe(enough);
    await expect(run(name, options, flat(enough))).resolves.toBeDefined();
    if (enough === 1) return;
    await expect(run(name, options, flat(enough - 1))).rejects.toMatchObject({
      code: 'rule_needs',
      message: expect.stringContaining(condition) as string,
    });
  });

  it('are named with n, f and what would be enough, where a round is too small', async () => {
    await expect(run('krum', { attackers: 0.3 }, flat(4))).rejects.toMatchObject({
      message:
        'the rule "krum" got n = 4 updates and assumes f = 1 attackers (attackers: 0.3), and it needs n >= 2f + 3: wait until 5 updates are there, or assume fewer attackers',
    });
    // Of five updates .49 are two, for which seven are needed; of seven it is three, and so on.
    await expect(run('krum', { attackers: 0.49 }, flat(5))).rejects.toThrow(/wait until 51 /);
  });

  it('are held against the round that there is, where they are a share', async () => {
    // A fifth of 7 is 1, and 4 + 3 are there; of 10 it is 2, and 8 + 3 are not.
    await expect(run('bulyan', {}, flat(7))).resolves.toMatchObject({
      diagnostics: { attackers: 1 },
    });
    await expect(run('bulyan', {}, flat(10))).rejects.toThrow(/f = 2 .*until 11 updates/);
    await expect(run('bulyan', {}, flat(11))).resolves.toBeDefined();
    await expect(run('krum', { attackers: 0.4 }, flat(7))).resolves.toBeDefined();
  });

  it('ask for the fewest updates that are enough, whatever the share', () => {
    for (const [name, perAttacker, plus] of [
      ['krum', 2, 3],
      ['bulyan', 4, 3],
      ['dnc', 2, 1],
    ] as const) {
      const rule = findRule(name);
      for (let percent = 1; percent < 100 / perAttacker; percent++) {
        const holds = (n: number): boolean =>
          n >= perAttacker * Math.floor((percent * n) / 100) + plus;
        const enough = rule.minUpdates(parseOptions(rule, { attackers: percent / 100 }));
        expect(holds(enough)).toBe(true);
        for (let n = 1; n < enough; n++) expect(holds(n)).toBe(false);
      }
    }
  });

  it('end the search for enough updates under a share that never is', () => {
    const rule = findRule('krum');
    const attackers = 0.5 - 2 ** -50;
    expect(rule.minUpdates(parseOptions(rule, { attackers }))).toBe(1_048_576);
  });

  it('of FLTrust may be all but one', async () => {
    const rule = findRule('fltrust');
    expect(rule.minUpdates(parseOptions(rule, { attackers: 3 }))).toBe(4);
    const oracle: LossOracle = {
      batches: 1,
      lossAndGrad: (params) => Promise.resolve({ loss: 1, grad: params.map((w) => w - 4) }),
    };
    await expect(run('fltrust', { attackers: 3 }, flat(4), oracle)).resolves.toBeDefined();
    await expect(run('fltrust', { attackers: 0.9 }, flat(9), oracle)).resolves.toBeDefined();
    await expect(run('fltrust', { attackers: 3 }, flat(3), oracle)).rejects.toThrow(/n > f/);
  });

  it.each([
    ['krum', { attackers: 0.5 }, /"attackers".*whole number, or a share.*0 and 0.5/],
    ['krum', { attackers: -1 }, /"attackers"/],
    ['bulyan', { attackers: 0.25 }, /"attackers".*0 and 0.25/],
    ['trimmed-mean', { attackers: 0.3 }, /"attackers".*raise beta/],
    ['trimmed-mean', { attackers: 1, beta: 0 }, /"attackers".*raise beta/],
    ['dnc', { atackers: 1 }, /did you mean "attackers"/],
    ['centered-clipping', { tau: 'mean' }, /"tau".*positive number, or "median"/],
  ])('are refused to %s as %j', (name, options, message) => {
    expect(() => parseOptions(findRule(name), options)).toThrow(
      expect.objectContaining({
        code: 'rule_options',
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  it('are a fifth by default, where the papers say no other', () => {
    const defaults = (name: string): unknown => parseOptions(findRule(name), {});
    const weights = 'uniform';
    expect(defaults('krum')).toEqual({ attackers: 0.2 });
    expect(defaults('bulyan')).toEqual({ attackers: 0.2 });
    expect(defaults('multi-krum')).toEqual({ attackers: 0.2, weights });
    expect(defaults('median')).toEqual({ attackers: 0.2, weights });
    expect(defaults('geometric-median')).toEqual({
      attackers: 0.2,
      iterations: 4,
      epsilon: 1e-5,
      weights,
    });
    expect(defaults('centered-clipping')).toEqual({
      attackers: 0.2,
      tau: 10,
      iterations: 1,
      weights,
    });
    expect(defaults('clipped-clustering')).toEqual({ attackers: 0.2, weights });
    expect(defaults('signguard')).toEqual({ attackers: 0.2, lower: 0.1, upper: 3, weights });
    expect(defaults('dnc')).toEqual({ attackers: 0.2, c: 1, iterations: 1, weights });
    expect(defaults('fltrust')).toEqual({ learningRate: 0.05, epochs: 1 });
  });
});
