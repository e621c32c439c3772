import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { dealHeart, joined } from '../../server/simulation/dealing.js';
import { halved } from '../../server/simulation/digits.js';
import type { HeartCentre } from '../../server/simulation/heart.js';

/** `size` patients with one feature: `from`, `from` + 1, … */
function patients(from: number, size: number): Dataset {
  const features = Float32Array.from({ length: size }, (_, i) => from + i);
  return { features, labels: Int32Array.from(features, (f) => f % 2), size };
}

const centres: readonly HeartCentre[] = [
  { name: 'north', train: patients(0, 30), test: patients(100, 3) },
  { name: 'south', train: patients(50, 10), test: patients(200, 2) },
];
const dealing = { seed: 1, clients: 4, proxy: 0 } as const;

describe('dealing patients', () => {
  it('leaves the hospitals as they are, each evaluating its own', () => {
    const dealt = dealHeart(centres, { ...dealing, partition: { kind: 'natural' } });
    expect(dealt.clients.map(({ name, data }) => [name, data.size])).toEqual([
      ['north', 30],
      ['south', 10],
    ]);
    expect(dealt.sites?.map(({ name, data }) => [name, data.size])).toEqual([
      ['north-test', 3],
      ['south-test', 2],
    ]);
    expect([...dealt.test.features]).toEqual([100, 101, 102, 200, 201]);
    expect(dealt.proxy).toBeNull();
  });

  it('deals all training patients anew, no one twice', () => {
    const dealt = dealHeart(centres, { ...dealing, proxy: 4, partition: { kind: 'iid' } });
    expect(dealt.clients.map(({ data }) => data.size)).toEqual([9, 9, 9, 9]);
    const all = [...dealt.clients.map(({ data }) => data), dealt.proxy ?? patients(0, 0)];
    const everybody = joined(centres.map(({ train }) => train));
    expect(all.flatMap(({ features }) => [...features]).sort((a, b) => a - b)).toEqual([
      ...everybody.features,
    ]);
  });

  it('has no proxy set where the hospitals keep their patients', () => {
    const natural = { ...dealing, proxy: 4, partition: { kind: 'natural' } } as const;
    expect(() => dealHeart(centres, natural)).toThrow('leave "proxy" out');
  });
});

describe('halved digits', () => {
  it('have the mean of four pixels for one, image by image', () => {
    const features = new Float32Array(2 * 784);
    // The corner of the first image, and the last four pixels of the second.
    features.set([1, 0.5], 0);
    features.set([0.25, 0.25], 28);
    features.set([1, 1], 784 + 26 * 28 + 26);
    features.set([1, 0], 784 + 27 * 28 + 26);
    const small = halved({ features, labels: Int32Array.of(3, 8), size: 2 });
    expect(small.features).toHaveLength(2 * 196);
    expect([small.features[0], small.features[391]]).toEqual([0.5, 0.75]);
    expect(small.features.reduce((a, b) => a + b, 0)).toBe(1.25);
    expect([...small.labels]).toEqual([3, 8]);
  });
});
