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
    for (let pixel = 0; pixel < pixels; pixel++) {
      // Summed in float64 and rounded once: float32 sums of white pixels come out above 1, which a
      // task that says so of its pixels refuses.
      let sum = 0;
      for (const { from, weight } of taps[pixel]) sum += weight * images[start + from];
      turned[start + pixel] = sum;
    }
  }
  return turned;
}

/** A pixel of the turned image takes `weight` times pixel `from`. */
interface Tap {
  readonly from: number;
  readonly weight: number;
}

/** For each pixel of the turned image, those that it is made of: the same for every image. */
function tapsOf(width: number, height: number, degrees: number): Tap[][] {
  const { cos, sin } = unitCircle(degrees);
  const [centreX, centreY] = [(width - 1) / 2, (height - 1) / 2];
  return Array.from({ length: width * height }, (_, pixel) => {
    const [x, y] = [(pixel % width) - centreX, Math.floor(pixel / width) - centreY];
    // Turned back, clockwise: y grows downwards.
    const columns = neighbours(centreX + cos * x - sin * y, width);
    const rows = neighbours(centreY + sin * x + cos * y, height);
    return rows.flatMap(([row, weightY]) =>
      columns.map(([column, weightX]) => {
        return { from: row * width + column, weight: weightX * weightY };
      }),
    );
  });
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
