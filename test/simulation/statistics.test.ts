import { describe, expect, it } from 'vitest';
import { areaUnderCurve, deviation, mean } from '../../server/simulation/statistics.js';

describe('statistics', () => {
  it('divide by n - 1, and have no spread with one value', () => {
    expect(mean([2, 4, 9])).toBe(5);
    expect(deviation([2, 4, 9])).toBeCloseTo(Math.sqrt((9 + 1 + 16) / 2), 12);
    expect(deviation([7])).toBe(0);
  });

  it('count the pairs that are ranked right, ties half', () => {
    // Positives .9, .5, .2 and negatives .5, .1: 2 + 1.5 + 1 of 6 pairs.
    const [scores, labels] = [
      [0.9, 0.5, 0.5, 0.2, 0.1],
      [1, 0, 1, 1, 0],
    ];
    expect(areaUnderCurve(scores, labels)).toBeCloseTo(4.5 / 6, 12);
    expect(
      areaUnderCurve(
        scores.map((s) => -s),
        labels,
      ),
    ).toBeCloseTo(1.5 / 6, 12);
  });

  it('have no area where one class does not occur', () => {
    expect(areaUnderCurve([0.1, 0.2], [1, 1])).toBeNull();
    expect(areaUnderCurve([], [])).toBeNull();
  });
});
