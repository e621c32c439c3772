/** Where a value of a flat vector is, for whoever sent it. */
import type { Layout } from '../layout.js';

/** Names the tensor and the place in it, where a layout is given that has it. */
export function placeOf(vector: string, element: number, layout: Layout | undefined): string {
  const tensor = layout?.tensors.find(
    ({ start, length }) => start <= element && element < start + length,
  );
  if (!tensor) return `element ${element} of "${vector}"`;
  return `element ${element - tensor.start} of "${vector}/${tensor.name}"`;
}
