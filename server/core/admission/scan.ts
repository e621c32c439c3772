/** One pass over a vector: is it finite, how long is it, what is its greatest value. */
import { TributaryError } from '../../../protocol/errors.js';
import type { Layout } from '../layout.js';

/**
 * Takes a flat vector tile by tile, from its first element on. The sums do not depend on where the
 * tiles are cut. Squares of float32 stay far inside float64: the norm neither overflows nor
 * vanishes.
 */
export class VectorScan {
  #squares = 0;
  #maxAbs = 0;
  #count = 0;

  /** @param layout where given, errors name the tensor and the place in it. */
  constructor(
    readonly vector: string,
    readonly layout?: Layout,
  ) {}

  /** @throws TributaryError `not_finite`, naming the element. */
  add(tile: Float32Array): void {
    let [squares, maxAbs] = [this.#squares, this.#maxAbs];
    for (const x of tile) {
      squares += x * x;
      maxAbs = Math.max(maxAbs, Math.abs(x));
    }
    if (!Number.isFinite(squares)) this.#refuse(tile);
    this.#squares = squares;
    this.#maxAbs = maxAbs;
    this.#count += tile.length;
  }

  /** Euclidean norm. */
  get norm(): number {
    return Math.sqrt(this.#squares);
  }

  get maxAbs(): number {
    return this.#maxAbs;
  }

  #refuse(tile: Float32Array): never {
    const at = tile.findIndex((x) => !Number.isFinite(x));
    const message = `${this.#where(this.#count + at)} is ${tile[at]}`;
    throw new TributaryError('not_finite', message, { vector: this.vector });
  }

  #where(element: number): string {
    const tensor = this.layout?.tensors.find(
      ({ start, length }) => start <= element && element < start + length,
    );
    if (!tensor) return `element ${element} of "${this.vector}"`;
    return `element ${element - tensor.start} of "${this.vector}/${tensor.name}"`;
  }
}
