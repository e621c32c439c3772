/** One pass over a vector: is it finite, how long is it, what is its greatest value. */
import { TributaryError } from '../../../protocol/errors.js';
import type { Check, Kernels } from '../kernels/kernels.js';
import type { Layout } from '../layout.js';
import { placeOf } from './place.js';

/**
 * Takes a flat vector tile by tile, from its first element on. The sums do not depend on where the
 * tiles are cut. Squares of float32 stay far inside float64: the norm neither overflows nor
 * vanishes.
 */
export class VectorScan {
  readonly #found: Check = { squares: new Float64Array(4), maxAbs: 0 };
  #count = 0;

  /** @param layout where given, errors name the tensor and the place in it. */
  constructor(
    readonly vector: string,
    readonly kernels: Kernels,
    readonly layout?: Layout,
  ) {}

  /** @throws TributaryError `not_finite`, naming the element. */
  add(tile: Float32Array): void {
    this.kernels.check(this.#found, this.#count, tile);
    if (!Number.isFinite(this.#found.maxAbs)) this.#refuse(tile);
    this.#count += tile.length;
  }

  /** Euclidean norm. */
  get norm(): number {
    const [s0, s1, s2, s3] = this.#found.squares;
    return Math.sqrt(s0 + s1 + (s2 + s3));
  }

  get maxAbs(): number {
    return this.#found.maxAbs;
  }

  #refuse(tile: Float32Array): never {
    const at = tile.findIndex((x) => !Number.isFinite(x));
    const place = placeOf(this.vector, this.#count + at, this.layout);
    const message = `${place} is ${tile[at]}`;
    throw new TributaryError('not_finite', message, { vector: this.vector });
  }
}
