import { mkdir, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FuseOptions } from '../../server/cli/fuse.js';
import { randomStream } from '../../server/core/random.js';
import { useFolder } from '../support/folder.js';
import type { Values } from './support/fuse.js';
import { file, fuse, read, write } from './support/fuse.js';

useFolder();

describe('any rule', () => {
  let base: string;
  let three: string[];
  beforeAll(async () => {
    base = await write('base.safetensors', { 'a.w': [0, 0], 'a.b': [1] });
    three = [
      await write('x.safetensors', { 'a.w': [3, 4], 'a.b': [2] }),
      await write('y.safetensors', { 'a.w': [1, 0], 'a.b': [0] }),
      await write('z.safetensors', { 'a.w': [2, 100], 'a.b': [1] }),
    ];
  });

  it.each<[string, Partial<FuseOptions>, Values]>([
    ['median', {}, { 'a.w': [2, 4], 'a.b': [1] }],
    ['trimmed-mean', { options: '{"beta":0}' }, { 'a.w': [2, 104 / 3], 'a.b': [1] }],
    ['soup-uniform', { optimizerOptions: '{"eta":0.5}' }, { 'a.w': [1, 52 / 3], 'a.b': [1] }],
    // Adam from rest, D = (2, 104/3): .01 D / (sqrt(.99 tau^2 + .01 D^2) + tau)
    [
      'uniform',
      { optimizer: 'adam', optimizerOptions: '{"tau":0.5}' },
      { 'a.w': [0.0193015, 0.0866194], 'a.b': [1] },
    ],
  ])('%s %j', async (rule, options, expected) => {
    const { optimizer } = await fuse(three, { rule, base, ...options });
    expect(optimizer.name).toBe(options.optimizer ?? 'sgd');
    const after = await read();
    for (const [name, values] of Object.entries(expected))
      values.forEach((value, e) => expect(after[name][e]).toBeCloseTo(value, 5));
  });

  it('model-stock goes back from the mean by the angle of each tensor', async () => {
    const { diagnostics } = await fuse(three.slice(0, 2), { rule: 'model-stock', base });
    const after = await read();
    // a.w: c = 3 / 5, t = 1.2 / 1.6; a.b: opposed, t = 0.
    expect(after['a.w'].map((x) => Number(x.toFixed(6)))).toEqual([1.5, 1.5]);
    expect(after['a.b']).toEqual([1]);
    expect(diagnostics.ratio).toBeCloseTo((2 * 0.75) / 3, 6);
  });

  it('of a file', async () => {
    await writeFile(
      file('first.ts'),
      `import { combinationRule } from 'tributary-fl';
       import { z } from 'zod';
       export default combinationRule({
         name: 'first', paper: 'none', options: z.strictObject({ share: z.number().default(1) }), needs: {},
         combine: (x, { options }) => ({ model: 1, updates: x.updates.map((_, i) => (i === 0 ? options.share : 0)) }),
       });`,
    );
    const result = await fuse(three, { rule: file('first.ts'), options: '{"share":0.5}', base });
    expect(await read()).toEqual({ 'a.w': [1.5, 2], 'a.b': [1.5] });
    expect(result.clients.map(({ weight }) => weight)).toEqual([0.5, 0, 0]);
  });

  it('with vectors, roles and metrics from a file of facts', async () => {
    await mkdir(file('facts'), { recursive: true });
    await write('facts/fx.safetensors', { 'a.w': [3, 0], 'a.b': [1] });
    await write('facts/fy.safetensors', { 'a.w': [1, 0], 'a.b': [0] });
    const facts = {
      x: { numExamples: 10, vectors: { fisher: 'fx.safetensors' } },
      y: { role: 'target', metrics: { lossBefore: 2 }, vectors: { fisher: 'fy.safetensors' } },
    };
    await writeFile(file('facts/facts.json'), JSON.stringify(facts));
    const options = { base, facts: file('facts/facts.json') };
    await fuse(three.slice(0, 2), { rule: 'fisher', ...options });
    expect(await read()).toEqual({ 'a.w': [2.5, 2], 'a.b': [2] });
    const only = await fuse(three.slice(0, 2), { rule: 'target-only', ...options });
    expect(await read()).toEqual(await read(three[1]));
    expect(only.clients.map(({ examples }) => examples)).toEqual([10, 1]);
  });

  it('over tensors longer than a tile, exactly', async () => {
    const random = randomStream('fuse');
    const drawn = (): number[] => Array.from({ length: 40_001 }, () => random.uniform() - 0.5);
    const [b, p, q] = [drawn(), drawn(), drawn()].map((v) => Array.from(Float32Array.from(v)));
    const paths = [
      await write('p.safetensors', { w: p, v: p.slice(0, 5) }),
      await write('q.safetensors', { w: q, v: q.slice(0, 5) }),
    ];
    const from = await write('b.safetensors', { w: b, v: b.slice(0, 5) });
    await fuse(paths, { base: from, examples: '1,3' });
    const { w, v } = await read();
    // Deltas are float32, as clients send them; the fold is exact to 2^-50 of the largest.
    const expected = b.map((x, e) =>
      Math.fround(x + (Math.fround(p[e] - x) + 3 * Math.fround(q[e] - x)) / 4),
    );
    const off = w.filter((x, e) => x !== expected[e]).length;
    expect(off).toBeLessThan(3);
    w.forEach((x, e) => expect(Math.abs(x - expected[e])).toBeLessThan(6e-8));
    expect(v).toEqual(w.slice(0, 5));
  });
});
