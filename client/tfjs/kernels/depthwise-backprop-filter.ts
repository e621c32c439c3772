/** The gradient of a depthwise convolution with respect to its filter, for the wasm backend. */
import { backend_util, DepthwiseConv2dNativeBackpropFilter } from '@tensorflow/tfjs-core';
import type {
  DepthwiseConv2dNativeBackpropFilterAttrs,
  TensorInfo,
  TypedArray,
} from '@tensorflow/tfjs-core';
import { outputAndViews, windowRange } from './wasm.js';
import type { AddedKernel, KernelCall } from './wasm.js';

type Shape4D = [number, number, number, number];

function kernelFunc({ inputs: { x, dy }, attrs, backend }: KernelCall): TensorInfo {
  const { strides, dilations, pad, dimRoundingMode, filterShape } =
    attrs as unknown as DepthwiseConv2dNativeBackpropFilterAttrs;
  const conv = backend_util.computeConv2DInfo(
    x.shape as Shape4D,
    filterShape,
    strides,
    dilations,
    pad,
    dimRoundingMode,
    true,
  );
  const { output, values, views } = outputAndViews(backend, conv.filterShape, [x, dy]);
  const [images, gradients] = views;
  for (let r = 0; r < conv.filterHeight; r++)
    for (let c = 0; c < conv.filterWidth; c++) {
      const taps = sumOverImages(conv, images, gradients, r, c);
      values.set(taps, (r * conv.filterWidth + c) * conv.outChannels);
    }
  return output;
}

/** Row r, column c of the filter's gradient. In f64: the sum has as many terms as there are pixels. */
function sumOverImages(
  conv: backend_util.Conv2DInfo,
  images: TypedArray,
  gradients: TypedArray,
  r: number,
  c: number,
): Float64Array {
  const { inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = conv;
  const { strideHeight, strideWidth } = conv;
  const multiplier = outChannels / inChannels;
  const down = r * conv.dilationHeight - conv.padInfo.top;
  const across = c * conv.dilationWidth - conv.padInfo.left;
  const rows = windowRange(inHeight, outHeight, strideHeight, down);
  const columns = windowRange(inWidth, outWidth, strideWidth, across);
  const sums = new Float64Array(outChannels);
  for (let n = 0; n < conv.batchSize; n++)
    for (let y = rows.first; y < rows.end; y++) {
      const imageRow = (n * inHeight + y * strideHeight + down) * inWidth;
      const gradientRow = (n * outHeight + y) * outWidth;
      for (let z = columns.first; z < columns.end; z++) {
        const pixel = (imageRow + z * strideWidth + across) * inChannels;
        const gradient = (gradientRow + z) * outChannels;
        for (let o = 0; o < outChannels; o++)
          sums[o] += images[pixel + Math.trunc(o / multiplier)] * gradients[gradient + o];
      }
    }
  return sums;
}

export const depthwiseBackpropFilter: AddedKernel = {
  kernelName: DepthwiseConv2dNativeBackpropFilter,
  kernelFunc,
};
