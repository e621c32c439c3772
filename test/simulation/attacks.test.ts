/** Attacks against values from numpy: test/fixtures/attacks/make.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { randomStream } from '../../server/core/random.js';
import type { AttackView } from '../../server/simulation/attacks/attack.js';
import { bindAttack } from '../../server/simulation/attacks/attack.js';
import { alieShift } from '../../server/simulation/attacks/alie.js';
import { attacks, findAttack } from '../../server/simulation/attacks/index.js';
import { normal, normalQuantile } from '../../server/simulation/normal.js';

const vector = z.array(z.number());
const { clients, attackers, benign, own, gamma, expected, quantiles, shifts } = z
  .object({
    clients: z.int(),
    attackers: z.int(),
    benign: z.array(vector),
    own: vector,
    gamma: z.number(),
    expected: z.record(z.string(), z.object({ parameters: z.json(), update: vector })),
    quantiles: z.array(z.tuple([z.number(), z.number()])),
    shifts: z.array(z.tuple([z.int(), z.int(), z.number()])),
  })
  .parse(
    JSON.parse(readFileSync(new URL('../fixtures/attacks/attacks.json', import.meta.url), 'utf8')),
  );

const CLASSES = 10;

function viewOf(changes: Partial<AttackView> = {}): AttackView {
  return {
    benign: benign.map((update) => Float32Array.from(update)),
    own: Float32Array.from(own),
    clients,
    attackers,
    random: randomStream(1, 'test'),
    ...changes,
  };
}

function forged(kind: string, parameters: unknown = {}, view = viewOf()): Float32Array {
  const { forge } = bindAttack(findAttack(kind), parameters, CLASSES);
  if (!forge) throw new Error(`${kind} forges nothing`);
  return forge(view);
}

function expectNear(actual: Float32Array, wanted: readonly number[], relative: number): void {
  expect(actual).toHaveLength(wanted.length);
  wanted.forEach((value, i) => {
    expect(Math.abs(actual[i] - value)).toBeLessThanOrEqual(relative * Math.abs(value));
  });
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.sqrt(Array.from(a).reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

const flips: Dataset = {
  features: Float32Array.of(1, 2, 3),
  labels: Int32Array.of(0, 3, 9),
  size: 3,
};

describe('an attack', () => {
  it.each(Object.entries(expected))('sends what its paper says: %s', (kind, given) => {
    expectNear(forged(kind, given.parameters), given.update, 2 ** -22);
  });

  it('has a name, a paper and a line about itself, and does something', () => {
    expect(new Set(attacks.keys()).size).toBe(7);
    for (const [name, attack] of attacks) {
      expect(attack.name).toBe(name);
      expect(attack.paper).toMatch(/\d{4}/);
      expect(attack.summary.length).toBeLessThan(90);
      expect('poison' in attack || 'forge' in attack).toBe(true);
    }
  });

  it('is refused by an unknown name or parameter, with what was meant', () => {
    expect(() => findAttack('alei')).toThrow('did you mean "alie"?');
    const bind = () => bindAttack(findAttack('ipm'), { eps: 1 }, CLASSES);
    expect(bind).toThrow(/attack "ipm": .*eps/);
  });

  it('is an error where the update that it makes is not finite', () => {
    const view = viewOf({ own: Float32Array.of(3e38, 1) });
    expect(() => forged('sign-flip', { scale: 10 }, view)).toThrow(
      expect.objectContaining({ code: 'not_finite' }),
    );
  });
});

describe('min-max', () => {
  it('is as far from the farthest benign update as benign ones are from each other', () => {
    const update = forged('min-max');
    const diameter = Math.max(...benign.flatMap((a) => benign.map((b) => distance(a, b))));
    const farthest = Math.max(...benign.map((b) => distance(update, b)));
    expect(farthest / diameter).toBeCloseTo(1, 6);
    expect(gamma).toBeGreaterThan(1);
  });

  it('sends the mean where all benign updates are equal', () => {
    const equal = Float32Array.of(0.5, -0.25);
    expect(forged('min-max', {}, viewOf({ benign: [equal, equal], own: equal }))).toEqual(equal);
  });
});

describe('alie', () => {
  it.each(shifts)('shifts %i clients with %i attackers by Phi^-1 of the paper', (n, f, wanted) => {
    expect(alieShift({ clients: n, attackers: f })).toBeCloseTo(wanted, 12);
  });

  it('asks for z where the formula has none', () => {
    expect(() => alieShift({ clients: 10, attackers: 6 })).toThrow('give it as "z"');
    const given = forged('alie', { z: 0 }, viewOf({ clients: 10, attackers: 6 }));
    expectNear(
      given,
      expected.ipm.update.map((value) => value / -2.5),
      2 ** -22,
    );
  });
});

describe('label flip', () => {
  it('calls class y C - 1 - y and leaves the rest, the update honest', () => {
    const { poison, forge } = bindAttack(findAttack('label-flip'), {}, CLASSES);
    const poisoned = poison(flips);
    expect([...poisoned.labels]).toEqual([9, 6, 0]);
    expect(poisoned.features).toBe(flips.features);
    expect([...flips.labels]).toEqual([0, 3, 9]);
    expect(forge).toBeNull();
  });

  it('is what model replacement trains on', () => {
    const { poison } = bindAttack(findAttack('model-replacement'), {}, CLASSES);
    expect([...poison(flips).labels]).toEqual([9, 6, 0]);
  });

  it('is not what the others train on', () => {
    for (const kind of ['sign-flip', 'noise', 'alie', 'ipm', 'min-max']) {
      expect(bindAttack(findAttack(kind), {}, CLASSES).poison(flips)).toBe(flips);
    }
  });
});

describe('model replacement', () => {
  it('makes the mean of one attacker and still clients the model that it wants', () => {
    const update = forged('model-replacement', {}, viewOf({ clients: 5 }));
    update.forEach((value, i) => expect(value / 5).toBeCloseTo(own[i], 6));
  });
});

describe('noise', () => {
  it('replaces the update by draws of the mean and deviation that were asked for', () => {
    const length = 20_000;
    const view = viewOf({ own: new Float32Array(length).fill(100) });
    const update = [...forged('noise', { mean: 0.1, stdDev: 0.2 }, view)];
    const mean = update.reduce((a, b) => a + b, 0) / length;
    const variance = update.reduce((sum, value) => sum + (value - mean) ** 2, 0) / length;
    // Five standard errors.
    expect(Math.abs(mean - 0.1)).toBeLessThan((5 * 0.2) / Math.sqrt(length));
    expect(Math.abs(Math.sqrt(variance) - 0.2)).toBeLessThan((5 * 0.2) / Math.sqrt(2 * length));
  });

  it('is the same for the same stream, and another for another', () => {
    const drawn = (seed: number) =>
      forged('noise', {}, viewOf({ random: randomStream(seed, 'noise') }));
    expect(drawn(4)).toEqual(drawn(4));
    expect(drawn(5)).not.toEqual(drawn(4));
  });
});

describe('the normal distribution', () => {
  it.each(quantiles)('has its quantile at %d', (p, wanted) => {
    expect(normalQuantile(p)).toBeCloseTo(wanted, 12);
    expect(normalQuantile(1 - p)).toBeCloseTo(-wanted, p < 1e-6 ? 5 : 9);
  });

  it('has none where the probability is none', () => {
    for (const p of [0, 1, -0.1, NaN, 1e-12]) expect(() => normalQuantile(p)).toThrow(RangeError);
  });

  it('is drawn from with the right shares below its quantiles', () => {
    const random = randomStream(2, 'normal');
    const draws = Array.from({ length: 20_000 }, () => normal(random));
    for (const p of [0.01, 0.25, 0.9]) {
      const below = draws.filter((x) => x < normalQuantile(p)).length / draws.length;
      expect(Math.abs(below - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / draws.length));
    }
  });
});
