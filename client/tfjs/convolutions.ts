/**
 * Convolutions that TF.js cannot run or train. They are refused when a model is built, on every
 * backend, because a federated model must mean the same to every client.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { TributaryError } from '../../protocol/errors.js';

type Layer = LayersModel['layers'][number];

interface Window {
  readonly kernelSize: readonly number[];
  readonly strides: readonly number[];
  readonly dilationRate: readonly number[];
}

/** @throws TributaryError `bad_model`, naming the layer. */
export function checkConvolutions(layers: readonly Layer[]): void {
  for (const layer of layers) {
    const { layers: inner, layer: wrapped } = layer as { layers?: Layer[]; layer?: Layer };
    if (inner) checkConvolutions(inner);
    if (wrapped) checkConvolutions([wrapped]);
    if (layer.getClassName().includes('Conv')) checkConvolution(layer);
  }
}

function checkConvolution(layer: Layer): void {
  const config = layer.getConfig();
  const window = windowOf(config);
  if (layer.trainable && window.dilationRate.some((rate) => rate > 1))
    refuse(
      layer,
      `has dilation [${window.dilationRate.join(', ')}], for which TF.js has no gradient`,
    );
  if (config.padding === 'same' && losesItsOutput(window, spatialSize(layer)))
    refuse(
      layer,
      `has stride [${window.strides.join(', ')}] over a kernel of [${window.kernelSize.join(', ')}] ` +
        'with "same" padding, which TF.js computes as zeros on the wasm backend: ' +
        'use "valid" padding, a smaller stride or a larger kernel',
    );
}

/**
 * XNNPACK, which computes convolutions in wasm, refuses a "same" convolution whose windows leave
 * input over at the end, and TF.js 4.22 does not look at the refusal: the output stays zero. 1x1
 * kernels take another way and are right.
 */
function losesItsOutput(
  { kernelSize, strides }: Window,
  size: readonly (number | null)[] | undefined,
): boolean {
  if (kernelSize.every((width) => width === 1)) return false;
  return kernelSize.some((width, axis) => {
    const stride = strides[axis];
    const length = size?.[axis];
    if (length == null) return stride > width;
    return (Math.ceil(length / stride) - 1) * stride + width < length;
  });
}

/** Of the larger side: a transposed convolution is the convolution of its output in the gradient. */
function spatialSize(layer: Layer): readonly (number | null)[] | undefined {
  // A layer inside a wrapper is connected to nothing, so its sizes are not known.
  const node = layer.inboundNodes.at(0);
  if (!node) return undefined;
  const transposed = layer.getClassName().includes('Transpose');
  const [shape] = transposed ? node.outputShapes : node.inputShapes;
  const sizes = shape as (number | null)[];
  return layer.getConfig().dataFormat === 'channelsFirst' ? sizes.slice(2) : sizes.slice(1, -1);
}

function windowOf(config: tf.serialization.ConfigDict): Window {
  const kernelSize = sizes(config.kernelSize, 2);
  const { length } = kernelSize;
  return {
    kernelSize,
    strides: sizes(config.strides, length),
    dilationRate: sizes(config.dilationRate, length),
  };
}

/** TF.js writes one number for "the same along every axis", and nothing for 1. */
function sizes(value: unknown, length: number): readonly number[] {
  if (Array.isArray(value)) return value as number[];
  return new Array<number>(length).fill(typeof value === 'number' ? value : 1);
}

function refuse(layer: Layer, problem: string): never {
  throw new TributaryError('bad_model', `layer "${layer.name}" ${problem}`, { layer: layer.name });
}
