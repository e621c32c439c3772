import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { TensorInput } from '../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { clientIds } from '../../server/cli/fuse/facts.js';
import { command, endCommands } from '../support/command.js';
import { useFolder } from '../support/folder.js';
import { plainTask } from '../support/plain-task.js';
import { tinyData, tinyTask } from '../support/tiny-task.js';
import { file, fixtures, fuse, made, read } from './support/fuse.js';

useFolder();
afterAll(endCommands);

describe("files from PyTorch's world", () => {
  it('are fused in their own widths, counters taken from the base', async () => {
    const result = await fuse(fixtures, { examples: '3,1' });
    const bytes = await readFile(file('out.safetensors'));
    const { tensors, metadata } = decodeSafetensors(bytes);
    const { tensors: before } = decodeSafetensors(await readFile(made('base')));
    const shape = (of: typeof tensors): [string, string, readonly number[]][] =>
      Object.entries(of).map(([name, t]) => [name, t.dtype, t.shape]);
    expect(shape(tensors)).toEqual(shape(before));
    expect(metadata).toEqual({ format: 'pt' });

    // three quarters of one's change and one quarter of two's, by hand
    expect([...tensors['layer1.0.conv.weight'].data]).toEqual([1.75, -3, 0.5, 1]);
    expect([...tensors['layer1.1.running_mean'].data]).toEqual([3, 6]);
    expect([...tensors['layer1.1.num_batches_tracked'].data]).toEqual([7n]);
    // bfloat16: 1 + .75 and 1 + .25 of the last bit, rounded; -4; .625
    expect([...tensors['head.weight'].data]).toEqual([0x3f81, 0x3f80, 0xc080, 0x3f20]);
    // float16: .25, and 1024.75, whose neighbours are 1024 and 1025
    expect([...tensors['head.bias'].data]).toEqual([0x3400, 0x6401]);

    expect(result).toMatchObject({
      rule: 'fedavg',
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      clients: [
        { client: 'one', examples: 3, weight: 0.75 },
        { client: 'two', examples: 1, weight: 0.25 },
      ],
    });
  });

  it('give the same bytes in any order', async () => {
    await fuse(fixtures, { examples: '3,1' });
    const bytes = await readFile(file('out.safetensors'));
    await fuse([...fixtures].reverse(), { examples: '1,3' });
    expect(await readFile(file('out.safetensors'))).toEqual(bytes);
  });

  it('keep every bit of the base where nothing moved', async () => {
    await fuse([made('base')], {});
    expect(await readFile(file('out.safetensors'))).toEqual(await readFile(made('base')));
  });
});

describe('with a model', () => {
  it('buffers are averaged by examples and frozen tensors stay, whatever the rule', async () => {
    const { tensors } = plainTask.model;
    await writeFile(file('plain.json'), JSON.stringify(plainTask));
    const model = async (name: string, value: number): Promise<string> => {
      const entries = tensors.map(({ name: tensor, shape }): [string, TensorInput] => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [tensor, { shape, data: new Float32Array(size).fill(value) }];
      });
      await writeFile(file(name), encodeSafetensors(Object.fromEntries(entries)));
      return file(name);
    };
    const base = await model('plain-base.safetensors', 1);
    const paths = [await model('m.safetensors', 2), await model('n.safetensors', 5)];
    const options = { base, model: file('plain.json'), examples: '3,1' };
    await fuse(paths, { rule: 'uniform', ...options });
    const after = await read();
    expect(after.kernel[0]).toBe(3.5);
    expect(after.temperature).toEqual([3.5]);
    expect(after['running-mean']).toEqual([2.75, 2.75]);
    expect(after.vocabulary).toEqual([1, 1, 1, 1]);
  });

  it('and held-out examples, rules that need an oracle work, with a task or bare layers', async () => {
    const task = await tinyTask();
    const { features, labels, size } = tinyData('held out', 64);
    const x = { shape: [size, 2], data: features };
    await writeFile(
      file('proxy.safetensors'),
      encodeSafetensors({ x, y: { shape: [size], data: labels } }),
    );
    await writeFile(file('task.json'), JSON.stringify(task));
    await writeFile(file('layers.json'), JSON.stringify(task.model.body));
    const params = async (name: string, kernel: number[]): Promise<string> => {
      const tensors = {
        'out/kernel': { shape: [2, 2], data: Float32Array.from(kernel) },
        'out/bias': { shape: [2], data: new Float32Array(2) },
      };
      await writeFile(file(name), encodeSafetensors(tensors));
      return file(name);
    };
    const base = await params('tiny.safetensors', [0, 0, 0, 0]);
    // Class 1 is to the right: the first input speaks for it.
    const good = await params('good.safetensors', [-2, 2, 0, 0]);
    const bad = await params('bad.safetensors', [2, -2, 0, 0]);
    for (const model of ['task.json', 'layers.json']) {
      const options = { base, proxy: file('proxy.safetensors'), model: file(model) };
      const best = await fuse([bad, good], { rule: 'best-client', ...options });
      expect(best.clients.map(({ weight }) => weight)).toEqual([0, 1]);
      expect(await read()).toEqual(await read(good));
      const soup = await fuse([bad, good], { rule: 'soup-greedy', ...options });
      expect(soup.diagnostics.kept).toBe(1);
      expect(soup.diagnostics.proxyLossAfter).toBeLessThan(Math.LN2);
    }
  });
});

describe('clients are called by their files', () => {
  it.each([
    [
      ['runs/a.safetensors', 'b.safetensors', 'c'],
      ['a', 'b', 'c'],
    ],
    [
      ['1/model.safetensors', '2/model.safetensors', 'x'],
      ['model-1', 'model-2', 'x'],
    ],
    [
      ['1/m', '2/m', 'm-1'],
      ['client-1', 'client-2', 'client-3'],
    ],
  ])('%j -> %j', (paths, ids) => {
    expect(clientIds(paths)).toEqual(ids);
  });
});

describe('the command', () => {
  const args = (...more: string[]): string[] => [
    ...['fuse', '--rule', 'fedavg', '--base', made('base'), '--examples', '3,1'],
    ...['--out', file('cli.safetensors'), ...fixtures, ...more],
  ];

  it('prints a table of weights, or JSON', async () => {
    const { code, stdout, stderr } = await command(args());
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/client\s+examples\s+weight\none\s+3\s+0\.75\ntwo\s+1\s+0\.25\n/);
    expect(stdout).toMatch(/cli\.safetensors: 452 B by fedavg/);
    const { stdout: json } = await command(args('--json'));
    expect(JSON.parse(json)).toMatchObject({
      rule: 'fedavg',
      clients: [{ client: 'one', weight: 0.75 }, { weight: 0.25 }],
    });
  });

  it('ends with 1 and the reason where it cannot', async () => {
    const { code, stderr } = await command(args('--rule', 'kurm'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/there is no rule "kurm"; did you mean "krum"/);
  });
});
