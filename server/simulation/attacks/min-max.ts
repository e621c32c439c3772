/**
 * Min-Max (Shejwalkar and Houmansadr, NDSS 2021, "Manipulating the Byzantine"): mean - g * std of the
 * benign updates with the largest g that keeps the forged update's distance to every benign one within
 * the greatest distance between two benign ones. It needs no knowledge of the rule.
 *
 * The paper searches for g by halving; each distance is a quadratic in g, so it is solved here.
 */
import { z } from 'zod';
import type { Attack } from './attack.js';
import { benignMoments } from './attack.js';

const parameters = z.strictObject({});

export const minMax: Attack<z.infer<typeof parameters>> = {
  name: 'min-max',
  summary: 'sends mean - g * std, as far off as benign updates are from each other',
  paper: 'Shejwalkar and Houmansadr, NDSS 2021, "Manipulating the Byzantine"',
  parameters,
  forge({ benign }) {
    const { mean, deviation } = benignMoments(benign);
    const g = largestShift(benign, mean, deviation);
    return Float32Array.from(mean, (value, i) => value - g * deviation[i]);
  },
};

/** The largest g with |mean - g * deviation - D_i| <= the benign diameter for every i. */
function largestShift(
  benign: readonly Float32Array[],
  mean: Float64Array,
  deviation: Float64Array,
): number {
  const diameter = squaredDiameter(benign);
  const a = dot(deviation, deviation);
  // All benign updates are equal: there is nowhere to go.
  if (a === 0) return 0;
  return benign.reduce((least, update) => {
    const offset = mean.map((value, i) => value - update[i]);
    const b = dot(offset, deviation);
    // The mean is within the diameter, so this is not above 0 but by rounding.
    const c = Math.min(0, dot(offset, offset) - diameter);
    return Math.min(least, (b + Math.sqrt(b * b - a * c)) / a);
  }, Infinity);
}

function squaredDiameter(updates: readonly Float32Array[]): number {
  let greatest = 0;
  for (const [i, one] of updates.entries()) {
    for (const other of updates.slice(i + 1)) {
      let sum = 0;
      for (let j = 0; j < one.length; j++) {
        const difference = one[j] - other[j];
        sum += difference * difference;
      }
      greatest = Math.max(greatest, sum);
    }
  }
  return greatest;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
