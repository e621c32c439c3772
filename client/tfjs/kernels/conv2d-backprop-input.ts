/**
 * The gradient of a convolution with respect to its input. The wasm backend computes it in nested
 * loops, half of the time of a training step of LeNet. Where the stride is 1 it is the convolution
 * of dy with the filter turned by 180 degrees and its channels exchanged, which XNNPACK computes
 * many times faster.
 */
import { backend_util, Conv2DBackpropInput } from '@tensorflow/tfjs-core';
import type { Conv2DBackpropInputAttrs, TensorInfo } from '@tensorflow/tfjs-core';
import { free, run, transpose } from './wasm.js';
import type { AddedKernel, KernelCall, WasmKernel } from './wasm.js';

type Shape4D = [number, number, number, number];

/** @param original the backend's own kernel, which does the other strides. */
export function conv2DBackpropInput(original: WasmKernel): AddedKernel {
  const kernelFunc = (call: KernelCall): TensorInfo => {
    const pad = turnedPadding(call);
    return pad ? convolveTurned(call, pad) : original(call);
  };
  return { kernelName: Conv2DBackpropInput, kernelFunc };
}

type Padding = [[0, 0], [number, number], [number, number], [0, 0]];

/** Undefined where this way is not open. */
function turnedPadding({ inputs: { filter }, attrs }: KernelCall): Padding | undefined {
  const { strides, pad, dataFormat, dimRoundingMode, inputShape } =
    attrs as unknown as Conv2DBackpropInputAttrs;
  if (dataFormat !== 'NHWC') return undefined;
  const shape = filter.shape as Shape4D;
  const conv = backend_util.computeConv2DInfo(inputShape, shape, strides, 1, pad, dimRoundingMode);
  if (conv.strideHeight !== 1 || conv.strideWidth !== 1) return undefined;
  const { top, bottom, left, right } = conv.padInfo;
  const [height, width] = [conv.filterHeight - 1, conv.filterWidth - 1];
  const turned = [height - top, height - bottom, width - left, width - right];
  // A convolution cannot be padded by less than nothing.
  if (turned.some((size) => size < 0)) return undefined;
  return [
    [0, 0],
    [turned[0], turned[1]],
    [turned[2], turned[3]],
    [0, 0],
  ];
}

function convolveTurned({ inputs: { dy, filter }, backend }: KernelCall, pad: Padding): TensorInfo {
  const turned = run('Reverse', backend, { x: filter }, { dims: [0, 1] });
  const exchanged = transpose(turned, [0, 1, 3, 2], backend);
  const attrs = { strides: 1, dilations: 1, pad, dataFormat: 'NHWC' };
  const result = run('Conv2D', backend, { x: dy, filter: exchanged }, attrs);
  free(backend, turned, exchanged);
  return result;
}
