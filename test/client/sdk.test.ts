/** What the package `tributary-fl/client` is, as a whole. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SDK_VERSION } from '../../client/version.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Modules that a file needs before it runs: its static imports, types left out. */
function staticImports(file: string): string[] {
  const source = readFileSync(file, 'utf8');
  const statements = source.matchAll(
    /^(?:import|export)\s+(?!type\b)(?:[^'";]*?\bfrom\s+)?'([^']+)'/gm,
  );
  return [...statements].map((match) => match[1]);
}

/** Everything that is loaded with a file: paths of our own, names of packages. */
function loadedWith(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    for (const name of staticImports(file)) {
      if (!name.startsWith('.')) packages.add(name);
      else visit(resolve(dirname(file), name.replace(/\.js$/, '.ts')));
    }
  };
  visit(resolve(root, entry));
  return { files, packages };
}

describe('the client SDK', () => {
  it('tells coordinators the version of the package', () => {
    const text = readFileSync(join(root, 'package.json'), 'utf8');
    expect(SDK_VERSION).toBe((JSON.parse(text) as { version: string }).version);
  });

  it('loads neither TF.js nor anything of Node before they are used', () => {
    const { files, packages } = loadedWith('client/index.ts');
    expect([...files].every((file) => existsSync(file))).toBe(true);
    expect([...files].map((file) => file.slice(root.length + 1))).toContain('client/session.ts');
    expect([...packages].sort()).toEqual([
      '@noble/hashes/sha2.js',
      '@noble/hashes/utils.js',
      'socket.io-client',
      'zod',
    ]);
  });

  it('trains a TF.js model through the functions that load TF.js when they are called', async () => {
    const sdk = await import('../../client/index.js');
    const tf = await import('@tensorflow/tfjs-layers');
    expect(await sdk.prepareBackend('wasm')).toMatchObject({ name: 'wasm' });
    const dense = tf.layers.dense({ units: 2, inputShape: [2], activation: 'softmax' });
    const model = await sdk.modelSpecOf(tf.sequential({ layers: [dense] }));
    const { task: taskSchema, trainingConfig } = await import('../../protocol/model.js');
    const task = taskSchema.parse({
      name: 'toy',
      model,
      data: { features: { shape: [2] }, labels: { kind: 'class', classes: 2 } },
    });
    const data = {
      features: Float32Array.of(0, 1, 1, 0, 0, 2),
      labels: Int32Array.of(0, 1, 0),
      size: 3,
    };
    const received = await sdk.initialParams(model, 5);
    const { signal } = new AbortController();
    const request = { task, model: received, round: 1, signal };
    const train = sdk.tfjsTrainer({ data, backend: 'wasm' });
    const trained = await train({
      ...request,
      config: trainingConfig.parse({ epochs: 30, batchSize: 3, learningRate: 0.5 }),
      role: 'source',
      seed: 1,
      vectors: [],
      progress: () => undefined,
    });
    expect(trained).toMatchObject({ numExamples: 3, numSteps: 30 });
    const evaluate = sdk.tfjsEvaluator({ data, backend: 'wasm' });
    const before = await evaluate(request);
    const after = await evaluate({ ...request, model: trained.params });
    expect(after.sums.loss).toBeLessThan(before.sums.loss);

    const oracle = sdk.tfjsClientOracle({ data, batchSize: 2, backend: 'wasm' });
    expect(oracle.batches).toBe(2);
    const opened = await oracle.open(task, {});
    const flat = Float32Array.from(model.tensors.flatMap(({ name }) => [...received[name]]));
    const { loss, grad } = await opened.lossAndGrad(flat, 0);
    expect(grad).toHaveLength(flat.length);
    const sums = [loss * 2, (await opened.lossAndGrad(flat, 1)).loss];
    expect(sums[0] + sums[1]).toBeCloseTo(before.sums.loss, 5);
    opened.dispose?.();
  });
});
