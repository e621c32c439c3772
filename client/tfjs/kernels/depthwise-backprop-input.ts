/** The gradient of a depthwise convolution with respect to its input, for the wasm backend. */
import { backend_util, DepthwiseConv2dNativeBackpropInput } from '@tensorflow/tfjs-core';
import type {
  DepthwiseConv2dNativeBackpropInputAttrs,
  TensorInfo,
  TypedArray,
} from '@tensorflow/tfjs-core';
import { outputAndViews, windowRange } from './wasm.js';
import type { AddedKernel, KernelCall } from './wasm.js';

type Shape4D = [number, number, number, number];

function kernelFunc({ inputs: { dy, filter }, attrs, backend }: KernelCall): TensorInfo {
  const { strides, dilations, pad, dimRoundingMode, inputShape } =
    attrs as unknown as DepthwiseConv2dNativeBackpropInputAttrs;
  const conv = backend_util.computeConv2DInfo(
    inputShape,
    filter.shape as Shape4D,
    strides,
    dilations,
    pad,
    dimRoundingMode,
    true,
  );
  const { output, values, views } = outputAndViews(backend, conv.inShape, [dy, filter]);
  const [gradients, taps] = views;
  for (let r = 0; r < conv.filterHeight; r++)
    for (let c = 0; c < conv.filterWidth; c++) {
      const begin = (r * conv.filterWidth + c) * conv.outChannels;
      addTap(conv, values, gradients, taps.subarray(begin, begin + conv.outChannels), r, c);
    }
  return output;
}

/** Adds what went through row r, column c of the filter. */
function addTap(
  conv: backend_util.Conv2DInfo,
  images: Float32Array,
  gradients: TypedArray,
  tap: TypedArray,
  r: number,
  c: number,
): void {
  const { inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = conv;
  const { strideHeight, strideWidth } = conv;
  const multiplier = outChannels / inChannels;
  const down = r * conv.dilationHeight - conv.padInfo.top;
  const across = c * conv.dilationWidth - conv.padInfo.left;
  const rows = windowRange(inHeight, outHeight, strideHeight, down);
  const columns = windowRange(inWidth, outWidth, strideWidth, across);
  for (let n = 0; n < conv.batchSize; n++)
    for (let y = rows.first; y < rows.end; y++) {
      const imageRow = (n * inHeight + y * strideHeight + down) * inWidth;
      const gradientRow = (n * outHeight + y) * outWidth;
      for (let z = columns.first; z < columns.end; z++) {
        const pixel = (imageRow + z * strideWidth + across) * inChannels;
        const gradient = (gradientRow + z) * outChannels;
        for (let o = 0; o < outChannels; o++)
          images[pixel + Math.trunc(o / multiplier)] += gradients[gradient + o] * tap[o];
      }
    }
}

export const depthwiseBackpropInput: AddedKernel = {
  kernelName: DepthwiseConv2dNativeBackpropInput,
  kernelFunc,
};
