/** What the added kernels share: the wasm backend, its memory, and the kernels that it has. */
import * as tf from '@tensorflow/tfjs-core';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';

export interface KernelCall {
  readonly inputs: Readonly<Record<string, tf.TensorInfo>>;
  readonly attrs?: tf.NamedAttrMap;
  readonly backend: BackendWasm;
}

export type WasmKernel = (call: KernelCall) => tf.TensorInfo;

/** One kernel as `registerWasmKernels` takes it. */
export interface AddedKernel {
  readonly kernelName: string;
  readonly kernelFunc: WasmKernel;
}

/** Calls a kernel of the backend, outside TF.js' memory management: dispose of what it returns. */
export function run(
  kernelName: string,
  backend: BackendWasm,
  inputs: KernelCall['inputs'],
  attrs: object,
): tf.TensorInfo {
  const kernel = tf.getKernel(kernelName, 'wasm');
  return kernel.kernelFunc({ inputs, backend, attrs: attrs as tf.NamedAttrMap }) as tf.TensorInfo;
}

export function transpose(
  x: tf.TensorInfo,
  perm: readonly number[],
  backend: BackendWasm,
): tf.TensorInfo {
  return run('Transpose', backend, { x }, { perm });
}

/** Frees intermediate results. */
export function free(backend: BackendWasm, ...tensors: readonly tf.TensorInfo[]): void {
  for (const { dataId } of tensors) backend.disposeData(dataId);
}

/**
 * A float32 output, zeroed, and views of it and of the inputs. The output is made first: making it
 * may grow the wasm memory, which detaches every view that was taken before.
 */
export function outputAndViews(
  backend: BackendWasm,
  shape: number[],
  inputs: readonly tf.TensorInfo[],
): { output: tf.TensorInfo; values: Float32Array; views: tf.TypedArray[] } {
  const output = backend.makeOutput(shape, 'float32');
  const values = backend.typedArrayFromHeap(output) as Float32Array;
  values.fill(0);
  return { output, values, views: inputs.map((input) => backend.typedArrayFromHeap(input)) };
}

/** The part of a convolution's windows that lies inside the input, along one axis. */
export function windowRange(
  input: number,
  output: number,
  stride: number,
  offset: number,
): { first: number; end: number } {
  // Positions y with 0 <= y * stride + offset < input.
  const first = Math.max(0, Math.ceil(-offset / stride));
  const end = Math.min(output, Math.ceil((input - offset) / stride));
  return { first, end };
}
