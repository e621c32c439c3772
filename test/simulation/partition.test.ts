import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { randomStream } from '../../server/core/random.js';
import { dirichlet } from '../../server/simulation/dirichlet.js';
import type { Partition } from '../../server/simulation/partition.js';
import { dirichletPartition, iidPartition, summarise } from '../../server/simulation/partition.js';

const classes = 10;
/** 5000 labels, of class c 500 + 20 (c - 4.5): no two classes of one size. */
const labels = Array.from({ length: classes }, (_, c) =>
  Array.from({ length: 410 + 20 * c }, () => c),
).flat();

function expectEveryExampleOnce(parts: Partition, size: number): void {
  const dealt = parts.flat().sort((a, b) => a - b);
  expect(dealt).toEqual(Array.from({ length: size }, (_, i) => i));
}

/** Mean over clients of the share of their most frequent class: .1 for no skew, 1 for one class. */
function skew(alpha: number): number {
  const seeds = [1, 2, 3, 4, 5];
  const shares = seeds.flatMap((seed) => {
    const parts = dirichletPartition(labels, 10, alpha, randomStream(seed, 'skew'));
    return summarise(parts, labels, classes).map((p) => Math.max(...p.histogram) / p.size);
  });
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}

describe('a Dirichlet partition', () => {
  it.each([0.001, 0.1, 1, 100])('deals every example to exactly one client, alpha %d', (alpha) => {
    const parts = dirichletPartition(labels, 8, alpha, randomStream(7, 'once'));
    expect(parts).toHaveLength(8);
    expectEveryExampleOnce(parts, labels.length);
  });

  it('is the same for the same stream, and another for another', () => {
    const draw = (seed: number): Partition =>
      dirichletPartition(labels, 8, 0.1, randomStream(seed, 'a'));
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });

  it('is skewed at alpha .1 and nearly uniform at 100', () => {
    expect(skew(0.1)).toBeGreaterThan(0.5);
    expect(skew(1)).toBeGreaterThan(0.2);
    expect(skew(1)).toBeLessThan(0.5);
    expect(skew(100)).toBeLessThan(0.16);
  });

  it('leaves nobody with fewer examples than asked for', () => {
    for (const alpha of [0.1, 0.01]) {
      const parts = dirichletPartition(labels, 10, alpha, randomStream(5, 'least'), 25);
      expect(Math.min(...parts.map((part) => part.length))).toBeGreaterThanOrEqual(25);
      expectEveryExampleOnce(parts, labels.length);
    }
  });

  it('tops up where no draw could ever reach all clients', () => {
    // Two classes dealt whole can reach two clients at most.
    const two = Array.from({ length: 100 }, (_, i) => i % 2);
    const parts = dirichletPartition(two, 10, 1e-6, randomStream(1, 'topped'), 10);
    expect(parts.map((part) => part.length)).toEqual(Array.from({ length: 10 }, () => 10));
    expectEveryExampleOnce(parts, 100);
  });

  it('mixes the classes within a client', () => {
    const [part] = dirichletPartition(labels, 1, 0.1, randomStream(1, 'mixed'));
    const changes = part.filter((at, i) => i > 0 && labels[at] !== labels[part[i - 1]]);
    expect(changes.length).toBeGreaterThan(labels.length / 2);
  });

  it('refuses what cannot be dealt', () => {
    const draw = (clients: number, alpha: number, least?: number): Partition =>
      dirichletPartition(labels, clients, alpha, randomStream(1, 'no'), least);
    expect(() => draw(600, 1, 10)).toThrow(TributaryError);
    expect(() => draw(0, 1)).toThrow(TributaryError);
    for (const alpha of [0, -1, NaN, Infinity]) {
      expect(() => draw(2, alpha)).toThrow(/is not a positive number/);
    }
  });
});

describe('a Dirichlet draw', () => {
  it.each([0.1, 1, 5])('has the mean and the variance of the distribution, alpha %d', (alpha) => {
    const [count, draws] = [4, 20_000];
    const random = randomStream(11, 'moments');
    const first = Array.from({ length: draws }, () => dirichlet(count, alpha, random)[0]);
    const mean = first.reduce((a, b) => a + b, 0) / draws;
    const variance = first.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws;
    // Of one share of the symmetric Dirichlet: 1/k, and (1/k)(1 - 1/k) / (k alpha + 1).
    expect(mean).toBeCloseTo(0.25, 1.9);
    expect(variance / (0.1875 / (count * alpha + 1))).toBeCloseTo(1, 1);
  });

  it('sums to one and stays finite where every Gamma draw underflows', () => {
    const random = randomStream(1, 'tiny');
    for (const alpha of [1e-9, 1e-4, 0.01, 1e4]) {
      const shares = dirichlet(7, alpha, random);
      expect(shares.every((share) => share >= 0 && share <= 1)).toBe(true);
      expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    }
  });
});

describe('an iid partition', () => {
  it('deals every example once, in parts that differ by one at most', () => {
    const parts = iidPartition(103, 10, randomStream(1, 'iid'));
    expectEveryExampleOnce(parts, 103);
    const sizes = parts.map((part) => part.length);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBe(1);
    expect(parts[0]).not.toEqual([...parts[0]].sort((a, b) => a - b));
  });

  it('refuses more clients than examples', () => {
    expect(() => iidPartition(3, 4, randomStream(1, 'few'))).toThrow(TributaryError);
  });
});

describe('the summary of a partition', () => {
  it('has size, share and classes of each client', () => {
    expect(summarise([[0, 1, 3], [2]], [0, 2, 1, 2], 3)).toEqual([
      { size: 3, share: 0.75, histogram: [1, 0, 2] },
      { size: 1, share: 0.25, histogram: [0, 1, 0] },
    ]);
  });
});
