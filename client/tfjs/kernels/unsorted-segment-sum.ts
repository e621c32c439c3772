/** Sums of rows by segment, the gradient of a gather (embeddings), for the wasm backend. */
import { UnsortedSegmentSum } from '@tensorflow/tfjs-core';
import type { TensorInfo, UnsortedSegmentSumAttrs } from '@tensorflow/tfjs-core';
import { outputAndViews } from './wasm.js';
import type { AddedKernel, KernelCall } from './wasm.js';

/** `x` is [rows, ...rest], `segmentIds` [rows]; the result is [numSegments, ...rest]. */
function kernelFunc({ inputs: { x, segmentIds }, attrs, backend }: KernelCall): TensorInfo {
  if (x.dtype !== 'float32') throw new Error(`UnsortedSegmentSum on wasm: no sums of ${x.dtype}`);
  const { numSegments } = attrs as unknown as UnsortedSegmentSumAttrs;
  const shape = [numSegments, ...x.shape.slice(1)];
  const { output, values, views } = outputAndViews(backend, shape, [x, segmentIds]);
  const [rows, ids] = views;
  const width = rows.length / ids.length;
  for (let row = 0; row < ids.length; row++) {
    const segment = ids[row];
    // As the other backends: rows of no segment are left out.
    if (segment < 0 || segment >= numSegments) continue;
    const from = row * width;
    const to = segment * width;
    for (let i = 0; i < width; i++) values[to + i] += rows[from + i];
  }
  return output;
}

export const unsortedSegmentSum: AddedKernel = { kernelName: UnsortedSegmentSum, kernelFunc };
