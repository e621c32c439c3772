/** Turning images: the domain shift of the FedGP demonstration. */
import { TributaryError } from '../../protocol/errors.js';

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Turns grey images about their centre, counter-clockwise as seen, by bilinear interpolation.
 * What comes from outside of the image is 0, and what leaves it is lost.
 *
 * @param images N x height x width, row by row from the top.
 * @param degrees Multiples of 90 move pixels exactly where the image is square.
 * @returns New images of the same size.
 * @throws TributaryError `bad_request` where the pixels are no whole number of images.
 */
export function rotateImages(
  images: Float32Array,
  { width, height }: ImageSize,
  degrees: number,
): Float32Array {
  const pixels = width * height;
  if (images.length % pixels !== 0) {
    const message = `${images.length} pixels are no ${width} x ${height} images`;
    throw new TributaryError('bad_request', message);
  }
  const taps = tapsOf(width, height, degrees);
  const turned = new Float32Array(images.length);
  for (let start = 0; start < images.length; start += pixels) {
    for (const { to, from, weight } of taps) turned[start + to] += weight * images[start + from];
  }
  return turned;
}

/** Pixel `to` of the turned image takes `weight` times pixel `from`. The same for every image. */
interface Tap {
  readonly to: number;
  readonly from: number;
  readonly weight: number;
}

function tapsOf(width: number, height: number, degrees: number): Tap[] {
  const { cos, sin } = unitCircle(degrees);
  const [centreX, centreY] = [(width - 1) / 2, (height - 1) / 2];
  const taps: Tap[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      // Turned back, clockwise: y grows downwards.
      const sourceX = centreX + cos * (x - centreX) - sin * (y - centreY);
      const sourceY = centreY + sin * (x - centreX) + cos * (y - centreY);
      for (const [fromX, weightX] of neighbours(sourceX, width)) {
        for (const [fromY, weightY] of neighbours(sourceY, height)) {
          const weight = weightX * weightY;
          taps.push({ to: y * width + x, from: fromY * width + fromX, weight });
        }
      }
    }
  }
  return taps;
}

/** The one or two grid points around a coordinate, those inside only, and their weights. */
function neighbours(at: number, size: number): [point: number, weight: number][] {
  const below = Math.floor(at);
  const fraction = at - below;
  const pair: [number, number][] = [
    [below, 1 - fraction],
    [below + 1, fraction],
  ];
  return pair.filter(([point, weight]) => weight > 0 && point >= 0 && point < size);
}

/** Cosine and sine, exact at multiples of 90 degrees, where Math.cos(Math.PI / 2) is not 0. */
function unitCircle(degrees: number): { cos: number; sin: number } {
  const turns = ((degrees % 360) + 360) % 360;
  if (turns === 0) return { cos: 1, sin: 0 };
  if (turns === 90) return { cos: 0, sin: 1 };
  if (turns === 180) return { cos: -1, sin: 0 };
  if (turns === 270) return { cos: 0, sin: -1 };
  const radians = (turns * Math.PI) / 180;
  return { cos: Math.cos(radians), sin: Math.sin(radians) };
}
