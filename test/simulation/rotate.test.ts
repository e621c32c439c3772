import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { randomStream } from '../../server/core/random.js';
import { rotateImages } from '../../server/simulation/rotate.js';

const square = { width: 3, height: 3 };
const letterF = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);

/** A smooth blob off the centre, all of it well inside of the image however it is turned. */
function blob(): Float32Array {
  return Float32Array.from({ length: 784 }, (_, i) => {
    const [x, y] = [(i % 28) - 17, Math.floor(i / 28) - 12];
    return Math.exp(-(x * x + y * y) / 8);
  });
}

function sum(values: Float32Array): number {
  return values.reduce((a, b) => a + b, 0);
}

describe('turning images', () => {
  it.each([0, 360, -720])('by %d degrees changes nothing', (degrees) => {
    const random = randomStream(1, 'image');
    const images = Float32Array.from({ length: 2 * 784 }, () => random.uniform());
    expect(rotateImages(images, { width: 28, height: 28 }, degrees)).toEqual(images);
  });

  it.each([
    [90, [3, 6, 9, 2, 5, 8, 1, 4, 7]],
    [180, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [270, [7, 4, 1, 8, 5, 2, 9, 6, 3]],
    [-90, [7, 4, 1, 8, 5, 2, 9, 6, 3]],
  ])('by %d degrees is exact and counter-clockwise', (degrees, expected) => {
    expect([...rotateImages(letterF, square, degrees)]).toEqual(expected);
  });

  it('by 90 degrees four times comes back to the same bits, also with an even side', () => {
    let image = blob();
    for (let turn = 0; turn < 4; turn++) {
      image = rotateImages(image, { width: 28, height: 28 }, 90);
    }
    expect(image).toEqual(blob());
  });

  it('by 45 degrees interpolates between the four nearest pixels', () => {
    const dot = new Float32Array(9);
    dot[4] = 1;
    const turned = rotateImages(dot, square, 45);
    expect(turned[4]).toBe(1);
    // The neighbour of the centre looks back at (sqrt 1/2, sqrt 1/2): it is 1 - .707 away in both.
    expect(turned[1]).toBeCloseTo((1 - Math.SQRT1_2) ** 2, 6);
    expect(turned[0]).toBe(0);
  });

  it('by 45 degrees and back keeps the mass and nearly the picture', () => {
    const image = blob();
    const size = { width: 28, height: 28 };
    const turned = rotateImages(image, size, 45);
    expect(Math.abs(sum(turned) / sum(image) - 1)).toBeLessThan(0.01);
    expect(turned).not.toEqual(image);
    const back = rotateImages(turned, size, -45);
    const difference = back.map((value, i) => Math.abs(value - image[i]));
    expect(Math.max(...difference)).toBeLessThan(0.15);
  });

  it.each([1, 30, 45, 77.7])('by %d degrees stays within the range of the pixels', (degrees) => {
    const white = new Float32Array(784).fill(1);
    const turned = rotateImages(white, { width: 28, height: 28 }, degrees);
    expect(Math.max(...turned)).toBe(1);
    expect(Math.min(...turned)).toBeGreaterThanOrEqual(0);
  });

  it('fills with zero what comes from outside', () => {
    const turned = rotateImages(new Float32Array(784).fill(1), { width: 28, height: 28 }, 45);
    expect(turned[0]).toBe(0);
    expect(turned[14 * 28 + 14]).toBeCloseTo(1, 6);
  });

  it('refuses pixels that are no whole images', () => {
    expect(() => rotateImages(new Float32Array(10), square, 45)).toThrow(TributaryError);
  });
});
