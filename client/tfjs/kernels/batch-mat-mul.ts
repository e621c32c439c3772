/**
 * Matrix products with a transposed factor, which is what gradients of dense layers are. The wasm
 * backend gives plain products to XNNPACK and all others to three nested loops; transposing first
 * makes a training step of an MLP more than twice as fast.
 */
import { BatchMatMul, util } from '@tensorflow/tfjs-core';
import type { BatchMatMulAttrs, TensorInfo } from '@tensorflow/tfjs-core';
import { free, transpose } from './wasm.js';
import type { AddedKernel, KernelCall, WasmKernel } from './wasm.js';

/** @param original the backend's own kernel. */
export function batchMatMul(original: WasmKernel): AddedKernel {
  const kernelFunc = ({ inputs, attrs, backend }: KernelCall): TensorInfo => {
    const { a, b } = inputs;
    const { transposeA, transposeB } = attrs as unknown as BatchMatMulAttrs;
    // XNNPACK is only asked for one product at a time, so several gain nothing.
    if (!(transposeA || transposeB) || !isSingle(a) || !isSingle(b))
      return original({ inputs, attrs, backend });
    const left = transposeA ? swapLastAxes(a, backend) : a;
    const right = transposeB ? swapLastAxes(b, backend) : b;
    const plain = { transposeA: false, transposeB: false };
    const product = original({ inputs: { a: left, b: right }, attrs: plain, backend });
    if (transposeA) free(backend, left);
    if (transposeB) free(backend, right);
    return product;
  };
  return { kernelName: BatchMatMul, kernelFunc };
}

function isSingle({ shape }: TensorInfo): boolean {
  return util.sizeFromShape(shape.slice(0, -2)) === 1;
}

function swapLastAxes(x: TensorInfo, backend: KernelCall['backend']): TensorInfo {
  const axes = x.shape.map((_, axis) => axis);
  const last = axes.length - 1;
  return transpose(x, [...axes.slice(0, -2), last, last - 1], backend);
}
