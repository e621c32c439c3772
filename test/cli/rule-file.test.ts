/** A rule's file on its way to a rule: what it may be, and what is said of one that is none. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { loadRuleFile, storedRuleModules } from '../../server/adapters/rule-modules.js';
import { parseOptions } from '../../server/core/rules/index.js';
import type { UpdateFacts } from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { aggregateWith } from '../core/round.js';

const folder = mkdtempSync(join(tmpdir(), 'tributary-rules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Files in a folder of their own; the path of the first. */
function files(contents: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(folder, 'rule-'));
  const paths = Object.entries(contents).map(([name, content]) => {
    const path = join(dir, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
    return path;
  });
  return paths[0];
}

const halves = {
  'halves.ts': `
    import { linearRule } from 'tributary-fl';
    import type { UpdateFacts } from 'tributary-fl';
    import { z } from 'zod';
    import { half } from './lib/half.js';
    export default linearRule({
      name: 'halves',
      paper: 'nobody 2026',
      options: z.strictObject({ floor: z.number().min(0).default(1) }),
      weightMax: () => 1000,
      weigh: ({ numExamples }: UpdateFacts, { options }) => Math.max(options.floor, half(numExamples)),
    });`,
  'lib/half.ts': 'export const half = (n: number): number => Math.floor(n / 2);',
};

/** Of an update of so many examples. */
function facts(numExamples: number): UpdateFacts {
  return {
    ...{
      clientId: 'ada',
      role: 'source',
      numExamples,
      numSteps: 1,
      metrics: {},
      norm: 1,
      maxAbs: 1,
    },
    ...{ baseVersion: 0, staleness: 0 },
  };
}

describe('a rule from a file', () => {
  it('is a rule like any other, without summary and needs', async () => {
    const { rule } = await loadRuleFile(files(halves));
    expect(rule).toMatchObject({ name: 'halves', family: 'linear', needs: {}, summary: '' });
    const weightOf = (numExamples: number, options = {}): number =>
      rule.weightOf!(facts(numExamples), parseOptions(rule, options), emptyState);
    expect([weightOf(9), weightOf(1), weightOf(1, { floor: 3 })]).toEqual([4, 1, 3]);
    // (4 * 1 + 1 * 6) / 5
    const updates = [
      { clientId: 'ada', numExamples: 9, delta: [1] },
      { clientId: 'bob', numExamples: 2, delta: [6] },
    ];
    expect([...(await aggregateWith(rule, {}, [0], updates)).model]).toEqual([2]);
    expect(() => parseOptions(rule, { flor: 2 })).toThrow(
      'no option "flor"; did you mean "floor"?',
    );
  });

  it('is the same module wherever its files lie, and another one where a helper differs', async () => {
    const [here, there] = [await loadRuleFile(files(halves)), await loadRuleFile(files(halves))];
    expect(there.sha256).toBe(here.sha256);
    expect(Buffer.from(there.code).toString()).toBe(Buffer.from(here.code).toString());
    const other = { ...halves, 'lib/half.ts': 'export const half = (n: number) => n / 2;' };
    expect((await loadRuleFile(files(other))).sha256).not.toBe(here.sha256);
  });

  it('is not touched by a tsconfig.json beside it', async () => {
    const config = '{ "compilerOptions": { "target": "ES5", "useDefineForClassFields": false } }';
    const beside = await loadRuleFile(files({ ...halves, 'tsconfig.json': config }));
    expect(beside.sha256).toBe((await loadRuleFile(files(halves))).sha256);
  });

  it('may be an instance of a class', async () => {
    const path = files({
      'rule.mjs': `
        import { z } from 'zod';
        import { emptyState } from 'tributary-fl';
        class First {
          name = 'first'; paper = 'nobody 2026'; options = z.strictObject({});
          family = 'general'; needs = {};
          minUpdates() { return 1; }
          begin() { return []; }
          async accumulate(acc, update) { acc.push(update); }
          async finish([first], { model }) {
            const delta = Float64Array.from(await first.read('delta', 0, model.length));
            return { delta, state: emptyState, weights: { [first.clientId]: 1 }, diagnostics: {} };
          }
        }
        export default new First();`,
    });
    const { rule } = await loadRuleFile(path);
    const { model } = await aggregateWith(rule, {}, [1], [{ clientId: 'ada', delta: [0.5] }]);
    expect([...model]).toEqual([1.5]);
  });

  it('may have accessors in its class', async () => {
    const { rule } = await loadRuleFile(
      files({
        'rule.mjs': `
          import { z } from 'zod';
          class Described {
            get name() { return 'described'; }
            get paper() { return 'nobody 2026'; }
            get summary() { return 'Nothing new.'; }
            get family() { return 'general'; }
            get needs() { return { metrics: ['lossBefore'] }; }
            get options() { return z.strictObject({ floor: z.number().default(3) }); }
            get control() { return true; }
            minUpdates() { return 2; }
            begin() {}
            async accumulate() {}
            async finish() {}
          }
          export default new Described();`,
      }),
    );
    expect(rule).toMatchObject({
      ...{ name: 'described', paper: 'nobody 2026', summary: 'Nothing new.', family: 'general' },
      ...{ needs: { metrics: ['lossBefore'] }, control: true },
    });
    expect(parseOptions(rule, {})).toEqual({ floor: 3 });
    expect(rule.minUpdates({})).toBe(2);
  });

  it('that is larger than a coordinator would read is refused, and says what to do', async () => {
    const loading = loadRuleFile(
      files({ 'rule.mjs': linear(`paper: ${JSON.stringify('a'.repeat(4 * 1024 * 1024))}`) }),
    );
    await expect(loading).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringMatching(
        /^rule\.mjs: it has 4194\d{3} bytes .*, over 4194304: import fewer packages/,
      ) as string,
    });
  });

  const linear = (fields: string): string =>
    `import { linearRule } from 'tributary-fl'; import { z } from 'zod';
     const base = { name: 'mine', paper: 'p', options: z.strictObject({}), weightMax: () => 1, weigh: () => 1 };
     export default linearRule({ ...base, ${fields} });`;

  it.each([
    ['nothing', '', /rule\.\w+: it has no default export/],
    ['no default export', 'export const rule = 1;', /no default export.*export default linearRule/],
    ['a number', 'export default 5;', /number, no rule.*linearRule, combinationRule/],
    ['an object', 'export default { name: "mine" };', /without "minUpdates".*linearRule/],
    ['a bad name', linear('name: "my rule"'), /"name".*letters/],
    ['no paper', linear('paper: undefined'), /"paper"/],
    ['options that are none', linear('options: {}'), /"options".*z\.strictObject/],
    ['a syntax error', '\nexport default linearRule({', /line 2 of rule\.mjs/],
    ['an error', 'throw new Error("the moon is full");', /fails.*the moon is full/],
    ['a missing file', 'import x from "./no.js"; export default x;', /line 1.*"\.\/no\.js"/],
    [
      'a wrong import',
      'import { linearRul as x } from "tributary-fl"; export default x;',
      /linearRul/,
    ],
    ['Node', 'import fs from "fs"; export default fs;', /"fs".*"tributary-fl" and "zod"/],
    ['Node by its name', 'import fs from "node:fs"; export default fs;', /"node:fs"/],
    ['the client', 'import { join as x } from "tributary-fl/client"; export default x;', /client/],
  ])('with %s is refused, and says what to do', async (_, code, says) => {
    const loading = loadRuleFile(files({ 'rule.mjs': code }));
    await expect(loading).rejects.toMatchObject({ code: 'bad_request' });
    await expect(loading).rejects.toThrow(says);
    await expect(loading).rejects.toThrow('rule.mjs: ');
  });

  it('that is not there is named', async () => {
    await expect(loadRuleFile(join(folder, 'nowhere.ts'))).rejects.toThrow(/nowhere\.ts/);
  });

  it('that never ends is ended', async () => {
    const endless = loadRuleFile(files({ 'rule.mjs': 'for (;;);' }));
    await expect(endless).rejects.toThrow(/rule\.mjs.*took more than 5000 ms/);
    const { rule } = await loadRuleFile(
      files({ 'rule.mjs': linear('weigh: () => { for (;;); }') }),
    );
    const weigh = (): unknown => rule.weightOf!(facts(1), {}, emptyState);
    expect(weigh).toThrow('"weigh" of the rule "mine" took more than 2000 ms');
  });
});

describe('the module of a rule in a store', () => {
  it('is loaded once, and once more where that failed', async () => {
    const inner = createMemoryBlobStore();
    let opened = 0;
    let isAway = true;
    const modules = storedRuleModules({
      open: (sha256) => {
        opened += 1;
        return isAway ? Promise.reject(new Error('away')) : inner.open(sha256);
      },
    });
    const other = { ...halves, 'lib/half.ts': 'export const half = (n: number) => n / 2 + 1;' };
    const { code, sha256 } = await loadRuleFile(files(other));
    expect((await putBlob(inner, code)).sha256).toBe(sha256);
    await expect(modules.load(sha256)).rejects.toThrow('away');
    isAway = false;
    const [a, b] = await Promise.all([modules.load(sha256), modules.load(sha256)]);
    expect(a.name).toBe('halves');
    expect(b).toBe(a);
    expect(opened).toBe(2);
  });

  it('is refused where it is too large', async () => {
    const inner = createMemoryBlobStore();
    const { sha256 } = await putBlob(inner, Buffer.alloc(4 * 1024 * 1024 + 1, ' '));
    await expect(storedRuleModules(inner).load(sha256)).rejects.toMatchObject({
      code: 'too_large',
      message: `rule.module ${sha256.slice(0, 12)}: it has 4194305 bytes with all that it imports, over 4194304: import fewer packages, or smaller ones`,
    });
  });

  it('must have the bytes that its hash says', async () => {
    const inner = createMemoryBlobStore();
    const { sha256 } = await putBlob(inner, Buffer.from('export default 1;'));
    const modules = storedRuleModules({ open: () => inner.open(sha256) });
    await expect(modules.load('0'.repeat(64))).rejects.toMatchObject({
      code: 'blob_damaged',
      message: expect.stringContaining('000000000000') as string,
    });
  });
});
