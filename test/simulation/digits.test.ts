import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkDataset } from '../../client/tfjs/dataset.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { TributaryError } from '../../protocol/errors.js';
import { loadDigits, splitDigits, splitIndices } from '../../server/simulation/digits.js';
import { turnedDigits } from '../../server/simulation/domain-shift.js';
import { rotateImages } from '../../server/simulation/rotate.js';
import { digitsTask } from '../../server/simulation/tasks.js';

let digits: Dataset;
beforeAll(async () => {
  digits = await loadDigits();
});

function image(set: Dataset, index: number): Float32Array {
  return set.features.subarray(index * 784, (index + 1) * 784);
}

function fingerprint(set: Dataset, index: number): string {
  const pixels = image(set, index);
  const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  return createHash('sha256').update(bytes).digest('hex');
}

function fingerprints(set: Dataset): string[] {
  return Array.from({ length: set.size }, (_, i) => fingerprint(set, i));
}

describe('the digits', () => {
  it('are 10,000 images of the size and the classes that the package has', () => {
    expect(digits.size).toBe(10_000);
    expect(digits.features.length).toBe(10_000 * 784);
    const counts = Array.from({ length: 10 }, () => 0);
    for (const label of digits.labels) counts[label]++;
    expect(counts).toEqual([1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]);
  });

  it('have the grey values of MNIST: whole 255ths from 0 to 1', () => {
    let greatest = 0;
    let odd = 0;
    for (const value of digits.features) {
      if (value > greatest) greatest = value;
      if (Math.fround(Math.round(value * 255) / 255) !== value) odd++;
    }
    expect([greatest, odd]).toEqual([1, 0]);
  });

  it('are different images, all of them', () => {
    expect(new Set(fingerprints(digits)).size).toBeGreaterThan(9_990);
  });
});

describe('a split of the digits', () => {
  const sizes = { test: 2000, proxy: 200 };

  it('puts every digit into exactly one part', () => {
    const { test, proxy, clients } = splitIndices(digits.labels, 1, sizes);
    expect([test.length, proxy.length, clients.length]).toEqual([2000, 200, 7800]);
    expect(new Set([...test, ...proxy, ...clients]).size).toBe(10_000);
  });

  it('has as many proxy digits of each class', () => {
    const { proxy } = splitDigits(digits, 2, sizes);
    const counts = Array.from({ length: 10 }, () => 0);
    for (const label of proxy.labels) counts[label]++;
    expect(counts).toEqual(Array.from({ length: 10 }, () => 20));
  });

  it('keeps images and labels together', () => {
    const positions = splitIndices(digits.labels, 3, sizes);
    const parts = splitDigits(digits, 3, sizes);
    for (const name of ['test', 'proxy', 'clients'] as const) {
      const at = positions[name];
      for (const i of [0, 77, at.length - 1]) {
        expect(fingerprint(parts[name], i)).toBe(fingerprint(digits, at[i]));
        expect(parts[name].labels[i]).toBe(digits.labels[at[i]]);
      }
    }
  });

  it('is the same for the same seed, and another for another', () => {
    const split = (seed: number) => splitIndices(digits.labels, seed, sizes);
    expect(split(4)).toEqual(split(4));
    expect(split(4).test).not.toEqual(split(5).test);
  });

  it('tests on every class', () => {
    expect(new Set(splitDigits(digits, 6, sizes).test.labels).size).toBe(10);
  });

  it('refuses sizes that cannot be', () => {
    const split = (test: number, proxy: number) => () => splitDigits(digits, 1, { test, proxy });
    expect(split(100, 205)).toThrow(/not a multiple of 10/);
    expect(split(9_800, 200)).toThrow(TributaryError);
    expect(split(0, 9_000)).toThrow(TributaryError);
  });
});

describe('the domain shift', () => {
  it('has five upright sources of 800, a turned target of 100 and a turned test set', () => {
    const { sources, target, test } = turnedDigits(digits, 1);
    expect(sources.map((source) => source.size)).toEqual([800, 800, 800, 800, 800]);
    expect([target.size, test.size]).toEqual([100, 2000]);

    const upright = new Set(fingerprints(digits));
    expect(sources.flatMap(fingerprints).every((print) => upright.has(print))).toBe(true);
    const size = { width: 28, height: 28 };
    const all = { ...digits, features: rotateImages(digits.features, size, 45) };
    const turned = new Map(fingerprints(all).map((print, i) => [print, i]));
    for (const set of [target, test]) {
      fingerprints(set).forEach((print, i) => {
        expect(digits.labels[turned.get(print)!]).toBe(set.labels[i]);
      });
    }
  });

  it('is data that the digits task takes', async () => {
    const { data } = await digitsTask();
    const { sources, target, test } = turnedDigits(digits, 1);
    for (const set of [...sources, target, test])
      expect(() => checkDataset(data, set)).not.toThrow();
  });

  it('deals no digit twice', () => {
    const { sources, target, test } = turnedDigits(digits, 2, { degrees: 0 });
    const prints = [...sources, target, test].flatMap(fingerprints);
    const everywhere = fingerprints(digits);
    const twins = everywhere.length - new Set(everywhere).size;
    expect(prints.length - new Set(prints).size).toBeLessThanOrEqual(twins);
  });

  it('keeps the test set when the number of clients changes', () => {
    const few = turnedDigits(digits, 3, { sources: 2, perSource: 50 });
    expect(fingerprints(few.test)).toEqual(fingerprints(turnedDigits(digits, 3).test));
  });

  it('refuses more digits than there are', () => {
    expect(() => turnedDigits(digits, 1, { sources: 10, perSource: 1000 })).toThrow(TributaryError);
  });
});
