import { createHash } from 'node:crypto';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TensorInput } from '../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { FuseOptions } from '../../server/cli/fuse.js';
import { fuseFiles } from '../../server/cli/fuse/command.js';
import { clientIds } from '../../server/cli/fuse/facts.js';
import type { Fused } from '../../server/cli/fuse/results.js';
import { randomStream } from '../../server/core/random.js';
import { command, endCommands } from '../support/command.js';
import { plainTask } from '../support/plain-task.js';
import { tinyData, tinyTask } from '../support/tiny-task.js';

/** Written by the reference library, as PyTorch does: test/fixtures/fuse/make.py. */
const made = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/fuse/${name}.safetensors`, import.meta.url));

let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-fuse-'));
});
afterAll(async () => {
  await endCommands();
  await rm(folder, { recursive: true, force: true });
});

const defaults = { batchSize: '128', optimizer: 'sgd', rule: 'fedavg' };

function fuse(paths: readonly string[], options: Partial<FuseOptions> = {}): Promise<Fused> {
  const base = options.base ?? made('base');
  return fuseFiles(paths, { ...defaults, out: file('out.safetensors'), ...options, base });
}

const fixtures = [made('one'), made('two')];

type Values = Readonly<Record<string, readonly number[]>>;

async function write(name: string, tensors: Values): Promise<string> {
  const entries = Object.entries(tensors).map(([key, values]): [string, TensorInput] => [
    key,
    { shape: [values.length], data: Float32Array.from(values) },
  ]);
  await writeFile(file(name), encodeSafetensors(Object.fromEntries(entries)));
  return file(name);
}

async function read(path = file('out.safetensors')): Promise<Values> {
  const { tensors } = decodeSafetensors(await readFile(path));
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, Array.from(data, Number)]),
  );
}

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

describe('what is wrong is said before anything is written', () => {
  const tensors = { 'a.w': [1, 2], 'a.b': [3] };
  let base: string;
  let same: string;
  beforeAll(async () => {
    base = await write('good-base.safetensors', tensors);
    same = await write('same.safetensors', tensors);
  });

  it.each<[string, Values, string, RegExp]>([
    ['a missing tensor', { 'a.w': [1, 2] }, 'wrong_tensors', /it lacks tensor "a.b" of the base/],
    ['another one', { ...tensors, c: [1] }, 'wrong_tensors', /tensor "c" is not in the base/],
    ['a shape', { ...tensors, 'a.b': [3, 3] }, 'wrong_shape', /"a.b" has the shape \[2\].*\[1\]/],
    ['NaN', { ...tensors, 'a.w': [1, NaN] }, 'not_finite', /element 1 of "delta\/a.w" is NaN/],
  ])('%s, by file and tensor', async (_, values, code, message) => {
    const odd = await write('odd.safetensors', values);
    const result = fuse([same, odd], { base, out: file('never.safetensors') });
    await expect(result).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
    await expect(result).rejects.toThrow(/odd\.safetensors: /);
    expect((await readdir(folder)).filter((name) => name.startsWith('never'))).toEqual([]);
  });

  it.each<[string, Partial<FuseOptions>, string, RegExp]>([
    ['an unknown rule', { rule: 'fedavgg' }, 'rule_unknown', /did you mean "fedavg"/],
    [
      'an unknown option',
      { rule: 'fisher', options: '{"epsilom":1}' },
      'rule_options',
      /"epsilon"/,
    ],
    ['options that are no JSON', { options: '{beta}' }, 'bad_request', /--options is not JSON/],
    ['too many examples', { examples: '1,2,3' }, 'bad_request', /3 numbers for 2 files/],
    ['no number', { examples: '1,0' }, 'bad_request', /"0" is not a whole number/],
    ['no oracle', { rule: 'fedlaw' }, 'rule_needs', /--proxy FILE and --model FILE/],
    ['no model', { rule: 'fedlaw', proxy: 'p.st' }, 'bad_request', /--model FILE/],
    ['no target', { rule: 'fedgp' }, 'rule_needs', /"role": "target".*--facts/],
    ['no vector', { rule: 'fisher' }, 'rule_needs', /"fisher" of "good-base".*--facts/],
    ['no metric', { rule: 'qfedavg' }, 'rule_needs', /metric "lossBefore".*--facts/],
    ['a file that is not there', { base: 'none.safetensors' }, 'bad_request', /none\.safetensors/],
    ['an optimizer', { optimizer: 'adm' }, 'rule_unknown', /"adam"/],
  ])('%s', async (_, options, code, message) => {
    await expect(fuse([base, same], { base, ...options })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  it("a rule of one's own that goes by a name of ours", async () => {
    await writeFile(
      file('impostor.mjs'),
      `import { linearRule } from 'tributary-fl'; import { z } from 'zod';
       export default linearRule({
         name: 'fedavg', paper: 'p', options: z.strictObject({}), weightMax: () => 1, weigh: () => 1,
       });`,
    );
    await expect(fuse([same], { base, rule: file('impostor.mjs') })).rejects.toThrow(
      `rule.name: "fedavg" is a rule of Tributary's: give yours another name`,
    );
  });

  it.each(['[1]', '5', 'null'])('options that are no object: %s', async (options) => {
    await expect(fuse([same], { base, options })).rejects.toThrow(
      `--options: write an object, such as '{"beta": 0.5}'`,
    );
  });

  it('facts about a file that is not there, with the nearest', async () => {
    await writeFile(file('stranger.json'), '{"sam":{}}');
    await expect(fuse([same], { base, facts: file('stranger.json') })).rejects.toThrow(
      /no file of "sam"; did you mean "same"/,
    );
    await writeFile(file('twice.json'), '{"same":{"numExamples":4}}');
    await expect(fuse([same], { base, facts: file('twice.json'), examples: '4' })).rejects.toThrow(
      /gives numExamples of "same" already/,
    );
  });

  it('an output that is one of the inputs, by whatever name', async () => {
    const link = file('link.safetensors');
    await symlink(same, link);
    for (const out of [same, base, link]) {
      const before = await readFile(out);
      await expect(fuse([same], { base, out })).rejects.toThrow(/would overwrite the input/);
      expect(await readFile(out)).toEqual(before);
    }
    await expect(fuse([same], { base, out: folder })).rejects.toThrow(/is a folder/);
  });

  it('a result that is too great for the width of the base, the old output left as it was', async () => {
    const half = (bits: number): Uint8Array =>
      encodeSafetensors({ w: { dtype: 'F16', shape: [1], data: Uint16Array.of(bits) } });
    await writeFile(file('h0.safetensors'), half(0x7b00));
    await writeFile(file('h1.safetensors'), half(0x7bff));
    await copyFile(same, file('old.safetensors'));
    const options = { base: file('h0.safetensors'), out: file('old.safetensors') };
    await expect(
      fuse([file('h1.safetensors')], { ...options, optimizerOptions: '{"eta":9}' }),
    ).rejects.toThrow(/element 0 of the fused "w" does not fit F16/);
    expect(await readFile(file('old.safetensors'))).toEqual(await readFile(same));
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
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
