/** Where each tensor of a model stands in the flat vectors that rules see. */
import type { TensorSpec } from '../../protocol/model.js';
import { elements } from '../../protocol/model.js';

/** `length` elements from `start` in the flat vector of the tensor's role. */
export interface TensorRange {
  readonly name: string;
  readonly start: number;
  readonly length: number;
}

/** A flat vector of named tensors, in the order of the model specification. */
export interface Layout {
  readonly tensors: readonly TensorRange[];
  /** Elements of the whole vector. */
  readonly size: number;
}

/** The layout of the tensors with one role: rules see `shared`, buffers are averaged apart. */
export function layoutOf(specs: readonly TensorSpec[], role: TensorSpec['role']): Layout {
  const tensors: TensorRange[] = [];
  let size = 0;
  for (const spec of specs) {
    if (spec.role !== role) continue;
    const length = elements(spec.shape);
    tensors.push({ name: spec.name, start: size, length });
    size += length;
  }
  return { tensors, size };
}

/** Elements that are read and worked on at a time: small enough for the cache, K of them for RAM. */
export const TILE = 16_384;

/** The ranges of a flat vector, {@link TILE} elements each but the last; `from` is where one begins. */
export function* tiles(size: number, from = 0): Generator<{ start: number; length: number }> {
  for (let start = from; start < size; start += TILE) {
    yield { start, length: Math.min(TILE, size - start) };
  }
}
