import { copyFile, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import type { FuseOptions } from '../../server/cli/fuse.js';
import { folder, useFolder } from '../support/folder.js';
import type { Values } from './support/fuse.js';
import { file, fuse, write } from './support/fuse.js';

useFolder();

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
