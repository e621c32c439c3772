/** Kernels that the wasm backend of TF.js 4.22 lacks for training, and two that it has but slow. */
import * as tf from '@tensorflow/tfjs-core';
import { batchMatMul } from './batch-mat-mul.js';
import { conv2DBackpropFilter } from './conv2d-backprop-filter.js';
import { conv2DBackpropInput } from './conv2d-backprop-input.js';
import { depthwiseBackpropFilter } from './depthwise-backprop-filter.js';
import { depthwiseBackpropInput } from './depthwise-backprop-input.js';
import { unsortedSegmentSum } from './unsorted-segment-sum.js';
import type { AddedKernel, WasmKernel } from './wasm.js';

const missing: readonly AddedKernel[] = [
  conv2DBackpropFilter,
  unsortedSegmentSum,
  depthwiseBackpropFilter,
  depthwiseBackpropInput,
];

let registered = false;

/** Call after the wasm backend's module was loaded; once is enough. */
export function registerWasmKernels(): void {
  if (registered) return;
  registered = true;
  for (const kernel of missing)
    // A later version of TF.js may bring its own.
    if (!has(kernel.kernelName)) register(kernel);
  replace(tf.BatchMatMul, batchMatMul);
  replace(tf.Conv2DBackpropInput, conv2DBackpropInput);
}

function replace(kernelName: string, by: (original: WasmKernel) => AddedKernel): void {
  const original = tf.getKernel(kernelName, 'wasm');
  const { kernelFunc } = by(original.kernelFunc as unknown as WasmKernel);
  tf.unregisterKernel(kernelName, 'wasm');
  // With what the original sets up when the backend starts: its kernel is still called.
  register({ ...original, kernelName, kernelFunc });
}

function has(kernelName: string): boolean {
  return tf.getKernelsForBackend('wasm').some((kernel) => kernel.kernelName === kernelName);
}

function register(kernel: AddedKernel): void {
  const config = { ...kernel, backendName: 'wasm' };
  tf.registerKernel(config as unknown as tf.KernelConfig);
}
