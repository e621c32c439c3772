import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { specFromTopology } from '../../client/tfjs/model.js';
import { isNode } from '../../client/tfjs/node-backend.js';

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
const tensorflow = isInstalled('@tensorflow/tfjs-node');

describe('preparing a backend', () => {
  it('is done by whoever first builds a model', async () => {
    expect(tf.getBackend()).toBeUndefined();
    const layer = { class_name: 'Dense', config: { units: 2, batch_input_shape: [null, 3] } };
    const spec = await specFromTopology({ class_name: 'Sequential', config: { layers: [layer] } });
    expect(spec.tensors.map(({ name }) => name)).toEqual(['dense/kernel', 'dense/bias']);
    expect(tf.getBackend()).toBe((await prepareBackend()).name);
  });

  it('starts wasm, with one thread, from the installed files', async () => {
    const backend = await prepareBackend('wasm');
    expect(backend.name).toBe('wasm');
    expect(backend.version).toMatch(/^4\.22\.0(-simd)?$/);
    expect(tf.getBackend()).toBe('wasm');
    expect(tf.env().getBool('WASM_HAS_MULTITHREAD_SUPPORT')).toBe(false);
    expect(tf.tidy(() => tf.add(tf.tensor1d([1, 2]), 3).arraySync())).toEqual([4, 5]);
  });

  it('leaves nothing on the process that throws what went wrong elsewhere', async () => {
    expect(isNode()).toBe(true);
    await prepareBackend('wasm');
    const listeners = [
      ...process.listeners('uncaughtException'),
      ...process.listeners('unhandledRejection'),
    ];
    expect(listeners.map(String).join('\n')).not.toMatch(/ExitStatus|throw reason/);
  });

  it('can be asked from several places at once', async () => {
    const all = await Promise.all([
      prepareBackend('wasm'),
      prepareBackend(),
      prepareBackend('wasm'),
    ]);
    expect(new Set(all.map(({ name }) => name)).size).toBe(tensorflow ? 2 : 1);
  });

  it.skipIf(tensorflow)('takes wasm where tfjs-node is not installed', async () => {
    expect((await prepareBackend()).name).toBe('wasm');
  });

  it.skipIf(tensorflow)('says what to install for tensorflow', async () => {
    await expect(prepareBackend('tensorflow')).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining('@tensorflow/tfjs-node') as string,
    });
  });

  it('refuses a backend that nobody registered, and goes on', async () => {
    await expect(prepareBackend('abacus')).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining('abacus') as string,
    });
    expect((await prepareBackend('wasm')).name).toBe('wasm');
  });

  it('takes one that was registered by its package', async () => {
    await prepareBackend('wasm');
    const wasm = tf.backend();
    tf.registerBackend('mine', () => wasm);
    expect((await prepareBackend('mine')).name).toBe('mine');
    await prepareBackend('wasm');
  });

  it('has every kernel that training needs', async () => {
    await prepareBackend('wasm');
    const kernels = tf.getKernelsForBackend('wasm').map(({ kernelName }) => kernelName);
    expect(kernels).toEqual(
      expect.arrayContaining([
        'Conv2DBackpropFilter',
        'Conv2DBackpropInput',
        'DepthwiseConv2dNativeBackpropFilter',
        'DepthwiseConv2dNativeBackpropInput',
        'UnsortedSegmentSum',
      ]),
    );
  });
});
