/** Attackers that send anything at all: what each robust rule lets through, and what it promises. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attackNames, claims, claimsToWithstand } from '../../server/core/rules/robust/claims.js';
import { rules } from '../../server/core/rules/index.js';
import type { LossOracle } from '../../server/core/ports.js';
import type { Aggregated } from './round.js';
import { fromZero } from './support/from-zero.js';

type Vector = readonly number[];

/** Honest updates around a point, and attackers; who is who by id is drawn too. */
interface Cohort {
  readonly honest: readonly Vector[];
  readonly attackers: readonly Vector[];
  readonly attackFirst: boolean;
}

const SIZE = 6;
const vector = (most: number): fc.Arbitrary<Vector> =>
  fc
    .array(fc.integer({ min: -64, max: 64 }), { minLength: SIZE, maxLength: SIZE })
    .map((xs) => xs.map((x) => (x * most) / 64));

/** Garbage from a hundred to a million times as long as an honest update, never short. */
const garbage = fc
  .tuple(vector(1), fc.integer({ min: 2, max: 6 }))
  .filter(([v]) => Math.hypot(...v) > 0.5)
  .map(([v, power]) => v.map((x) => x * 10 ** power));

function cohort(kind: 'same' | 'scattered', honest: number, attackers: number) {
  const noise = fc.array(vector(0.25), { minLength: honest, maxLength: honest });
  const bad =
    kind === 'same'
      ? garbage.map((v) => Array.from({ length: attackers }, () => v))
      : fc.array(garbage, { minLength: attackers, maxLength: attackers });
  return fc
    .tuple(vector(0.5), noise, bad, fc.boolean())
    .map(([centre, around, sent, attackFirst]): Cohort => ({
      honest: around.map((v) => v.map((x, e) => x + centre[e] + (e === 0 ? 1 : 0))),
      attackers: sent,
      attackFirst,
    }));
}

function run(
  rule: string,
  options: object,
  { honest, attackers, attackFirst }: Cohort,
  oracle: LossOracle | null = null,
): Promise<Aggregated> {
  const named = (deltas: readonly Vector[], prefix: string) =>
    deltas.map((delta, i) => ({ clientId: `${prefix}${i}`, delta }));
  const updates = [...named(honest, 'h'), ...named(attackers, attackFirst ? 'a' : 'z')];
  return fromZero(rule, options, updates, { oracle });
}

function weightsOfAttackers(weights: Aggregated['weights'], { attackFirst }: Cohort): number[] {
  const isAttacker = (id: string): boolean => id.startsWith(attackFirst ? 'a' : 'z');
  return Object.entries(weights).flatMap(([id, weight]) => (isAttacker(id) ? [weight] : []));
}

const norm = (v: Iterable<number>): number => Math.hypot(...v);
const column = (vectors: readonly Vector[], e: number): number[] => vectors.map((v) => v[e]);

function expectWithin(delta: Float64Array, vectors: readonly Vector[]): void {
  delta.forEach((value, e) => {
    expect(value).toBeGreaterThanOrEqual(Math.min(...column(vectors, e)) - 1e-9);
    expect(value).toBeLessThanOrEqual(Math.max(...column(vectors, e)) + 1e-9);
  });
}

/** Two of twelve attack, and the rule is told so: as many as Bulyan allows. */
const [HONEST, ATTACKERS] = [10, 2];
const anyKind = fc.oneof(cohort('same', HONEST, ATTACKERS), cohort('scattered', HONEST, ATTACKERS));
const f = { attackers: ATTACKERS };
const check = (test: (drawn: Cohort) => Promise<void>, drawn = anyKind): Promise<void> =>
  fc.assert(fc.asyncProperty(drawn, test), { seed: 11, numRuns: 150 });

describe('huge garbage from two of twelve', () => {
  it.each([
    ['median', f],
    ['trimmed-mean', { beta: 0.2, ...f }],
    ['krum', f],
    ['multi-krum', f],
    ['bulyan', f],
    ['dnc', { ...f, iterations: ATTACKERS }],
  ])('leaves %s %j within the hull of the honest updates', async (name, options) => {
    await check(async (drawn) => {
      const { delta } = await run(name, options, drawn);
      expectWithin(delta, drawn.honest);
    });
  });

  it('counts nothing in rules that select', async () => {
    await check(async (drawn) => {
      for (const name of ['krum', 'multi-krum', 'signguard'] as const) {
        const { weights } = await run(name, f, drawn);
        expect(weightsOfAttackers(weights, drawn)).toEqual([0, 0]);
      }
    });
  });

  it('counts next to nothing in the geometric median', async () => {
    await check(
      async (drawn) => {
        const { weights } = await run('geometric-median', f, drawn);
        expect(Math.max(...weightsOfAttackers(weights, drawn))).toBeLessThan(1e-2);
      },
      cohort('same', HONEST, ATTACKERS),
    );
    // At distances of several magnitudes it takes more than the paper's four iterations.
    await check(async (drawn) => {
      const { delta } = await run('geometric-median', { ...f, iterations: 40 }, drawn);
      const middles = drawn.honest[0].map(
        (_, e) => column(drawn.honest, e).sort((a, b) => a - b)[5],
      );
      const away = (v: Iterable<number>): number =>
        norm(Array.from(v).map((x, e) => x - middles[e]));
      // Minsker 2015: within 2 (1 - s) / (1 - 2s) radii of a ball that holds a share 1 - s > 1/2.
      const bound = (2 * HONEST) / (HONEST - ATTACKERS);
      expect(away(delta)).toBeLessThan(bound * Math.max(...drawn.honest.map(away)) + 0.01);
    });
  });

  it('moves centered clipping by tau for each attacker and no more', async () => {
    const tau = 0.75;
    await check(async (drawn) => {
      const options = { ...f, tau, iterations: 1 };
      const { delta } = await run('centered-clipping', options, drawn);
      const alone = await run('centered-clipping', options, { ...drawn, attackers: [] }).catch(
        () => null,
      );
      const share = HONEST / (HONEST + ATTACKERS);
      const pulled = norm(delta.map((x, e) => x - share * alone!.delta[e]));
      expect(pulled).toBeLessThanOrEqual(tau * (1 - share) + 1e-9);
      // With the median distance as tau, the same holds for a length that honest clients set.
      const own = await run('centered-clipping', { ...f, tau: 'median' }, drawn);
      expect(norm(own.delta)).toBeLessThanOrEqual(2 * Math.max(...drawn.honest.map(norm)));
    });
  });

  it('is clipped by clipped clustering, and dropped where the attackers agree', async () => {
    await check(async (drawn) => {
      const { delta } = await run('clipped-clustering', f, drawn);
      expect(norm(delta)).toBeLessThanOrEqual(Math.max(...drawn.honest.map(norm)) + 1e-9);
    });
    const opposed = cohort('same', HONEST, ATTACKERS).map((drawn) => ({
      ...drawn,
      attackers: drawn.attackers.map((v) => v.map((x, e) => (e === 0 ? -1e4 : x / 1e4))),
    }));
    await check(async (drawn) => {
      const { delta, weights } = await run('clipped-clustering', f, drawn);
      expect(weightsOfAttackers(weights, drawn)).toEqual([0, 0]);
      const [lengths, zero] = [drawn.honest.map(norm), drawn.honest[0].map(() => 0)];
      expect(Math.min(...lengths)).toBeGreaterThan(0);
      expectWithin(delta, [...drawn.honest, zero]);
    }, opposed);
  });

  it('never makes the step of FLTrust longer than the root update, however many attack', async () => {
    const oracle: LossOracle = {
      batches: 1,
      lossAndGrad: (params) =>
        Promise.resolve({ loss: 1, grad: params.map((_, e) => (e === 0 ? -1 : 0.25)) }),
    };
    const rootNorm = norm(Array.from({ length: SIZE }, (_, e) => (e === 0 ? 0.5 : -0.125)));
    await check(
      async (drawn) => {
        const { delta } = await run('fltrust', { learningRate: 0.5 }, drawn, oracle);
        expect(norm(delta)).toBeLessThanOrEqual(rootNorm + 1e-6);
        // Whoever is trusted points the root's way, so the sum does.
        const along = delta.reduce((sum, x, e) => sum + x * (e === 0 ? 1 : -0.25), 0);
        expect(along).toBeGreaterThanOrEqual(-1e-9);
      },
      fc.oneof(cohort('same', 3, 9), cohort('scattered', 3, 9)),
    );
  });
});

describe('attackers that agree on one point among the honest ones', () => {
  it('are the top direction that DnC drops, all at once', async () => {
    const noise = (i: number, e: number): number => ((i * 5 + e * 3) % 7) / 64;
    const honest = Array.from({ length: 8 }, (_, i) =>
      Array.from({ length: SIZE }, (_, e) => 0.5 + noise(i, e)),
    );
    const attackers = [0, 1].map(() => Array.from({ length: SIZE }, () => 0.25));
    const { weights } = await run('dnc', f, { honest, attackers, attackFirst: true });
    expect([weights.a0, weights.a1]).toEqual([0, 0]);
    expect(weights.h3).toBe(1 / 8);
  });
});

describe('what the papers claim', () => {
  it('is said of rules and attacks that there are, with who claims it', () => {
    for (const [name, claim] of Object.entries(claims)) {
      expect(rules.has(name)).toBe(true);
      expect(claim!.paper).toMatch(/\d{4}/);
      expect(claim!.scope.length).toBeGreaterThan(20);
      expect(claim!.attacks.length).toBeGreaterThan(0);
      for (const attack of claim!.attacks) expect(attackNames).toContain(attack);
    }
    expect(claimsToWithstand('dnc', 'min-max')).toBe(true);
    expect(claimsToWithstand('krum', 'alie')).toBe(false);
    expect(claimsToWithstand('fedavg', 'noise')).toBe(false);
  });
});
