/** `tributary rules`: the registry in 80 columns, one entry in full, and the checks of a rule. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ruleList } from '../../protocol/http.js';
import { findings } from '../../server/cli/rules/check/checks.js';
import { isRuleFile } from '../../server/cli/rules/file.js';
import { rulesListed } from '../../server/cli/rules/list.js';
import { optionRows } from '../../server/cli/rules/options.js';
import { entryNamed, entryShown } from '../../server/cli/rules/show.js';
import { wrap } from '../../server/cli/rules/wrap.js';
import { loadRuleFile } from '../../server/adapters/rule-modules.js';
import { catalogue } from '../../server/core/catalogue.js';
import { findRule, parseOptions, ruleInfo } from '../../server/core/rules/index.js';

const all = catalogue();
const names = [all.rules, all.optimizers, all.steps].flat().map(({ name }) => name);
const folder = mkdtempSync(join(tmpdir(), 'tributary-rules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the catalogue', () => {
  it('is what the protocol says', () => {
    expect(ruleList.parse(all)).toEqual(all);
  });

  it('names everything once, with a line that says what it does', () => {
    expect(new Set(names).size).toBe(names.length);
    for (const { name, summary } of [all.rules, all.optimizers, all.steps].flat()) {
      expect(summary.length, name).toBeGreaterThan(10);
      expect(summary.length, name).toBeLessThanOrEqual(90);
    }
  });
});

describe('the list of rules', () => {
  const lines = rulesListed(all).split('\n');

  it('names everything that a run can be made of, in 80 columns', () => {
    const listed = lines.map((line) => /^ {2}(\S+) {2}/.exec(line)?.[1]).filter(Boolean);
    expect(listed.sort()).toEqual([...names].sort());
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('says what a rule needs, and by its options where that is so', () => {
    const text = lines.join(' ').replace(/\s+/g, ' ');
    expect(text).toContain('fedlaw Learns');
    expect(text).toMatch(/small proxy set\. \[oracle/);
    expect(text).toMatch(/\[target, vector batch\.\*, by options\]/);
  });
});

describe('an entry in full', () => {
  it('has its family, paper, needs, use, hazard and options', () => {
    const text = entryShown(entryNamed('fedgp', all));
    for (const part of [
      /^family {4}combination/m,
      /^paper {5}Jiang et al\./m,
      /^needs {5}at most, by its options: exactly one client/m,
      /^ {4}new = w \+ mean_i/m,
      /^Use it like FedDA/m,
      /Hazard of beta: auto/,
      /^ {2}granularity: "tensor" \| "model", default "tensor"$/m,
      /^ {2}betaMax: number >= 0, <= 1, default 1\n {4}No beta exceeds it\.$/m,
    ]) {
      expect(text).toMatch(part);
    }
  });

  it.each(names)('%s says when to use it and when it breaks, in 80 columns', (name) => {
    const text = entryShown(entryNamed(name, all));
    const prose = text.replace(/\s+/g, ' ');
    expect(prose).toMatch(/\bUse\b/);
    expect(prose).toMatch(/\b[Bb]reaks?\b/);
    // Formulas keep their lines, which are as wide as the source's.
    const wide = text.split('\n').filter((line) => line.length > 80 && !line.startsWith('    '));
    expect(wide).toEqual([]);
  });

  it.each([
    ['fedpg', 'fedgp'],
    ['trimed-mean', 'trimmed-mean'],
    ['Adam', 'adam'],
  ])('of the unknown name %s suggests %s', (wrong, right) => {
    const look = (): unknown => entryNamed(wrong, all);
    expect(look).toThrow(`"${wrong}"; did you mean "${right}"?`);
    expect(look).toThrow(expect.objectContaining({ code: 'rule_unknown' }));
  });

  it('explains every kind of option', () => {
    const rows = optionRows({
      type: 'object',
      properties: {
        share: { type: 'number', exclusiveMinimum: 0, maximum: 1, description: 'A share.' },
        rounds: { type: 'integer', minimum: 2, maximum: Number.MAX_SAFE_INTEGER, default: 3 },
        mode: { enum: ['a', 'b'], type: 'string', default: 'a' },
        beta: {
          anyOf: [
            { type: 'number', minimum: 0 },
            { const: 'auto', type: 'string' },
          ],
        },
      },
      required: ['share'],
    });
    expect(rows).toEqual([
      {
        name: 'share',
        type: 'number > 0, <= 1',
        fallback: '',
        required: true,
        description: 'A share.',
      },
      { name: 'rounds', type: 'integer >= 2', fallback: '3', required: false, description: '' },
      { name: 'mode', type: '"a" | "b"', fallback: '"a"', required: false, description: '' },
      {
        name: 'beta',
        type: 'number >= 0 | "auto"',
        fallback: '',
        required: false,
        description: '',
      },
    ]);
  });
});

it('wraps text at its width and never within a word', () => {
  expect(wrap('to be or not to be', 6)).toEqual(['to be', 'or not', 'to be']);
  expect(wrap('unbreakable is', 5)).toEqual(['unbreakable', 'is']);
});

it.each([
  ['./my-rule.ts', true],
  ['rules/mine', true],
  ['mine.mjs', true],
  ['C:\\rules\\mine.js', true],
  ['fedavg', false],
  ['my.rule', false],
])('takes %s for a file: %s', (text, isFile) => {
  expect(isRuleFile(text)).toBe(isFile);
});

describe('the checks of a rule', () => {
  async function failing(body: string): Promise<string[]> {
    const path = join(folder, 'rule.mjs');
    writeFileSync(
      path,
      `import { combinationRule, linearRule } from 'tributary-fl'; import { z } from 'zod';
       const about = { name: 'mine', paper: 'p', options: z.strictObject({}), weightMax: () => 1000 };
       let kept = 0;
       export default ${body};`,
    );
    const { rule } = await loadRuleFile(path);
    const found = await findings(rule, parseOptions(rule, {}));
    expect(found).toHaveLength(7);
    return found
      .filter(({ holds, required }) => required && !holds)
      .map(({ what, why }) => `${what}: ${why ?? ''}`);
  }

  it.each(['fedavg', 'uniform', 'fedlaw', 'fedgp', 'median', 'krum'])(
    'find nothing in %s',
    async (name) => {
      const rule = findRule(name);
      const found = await findings(rule, parseOptions(rule, {}));
      expect(found.filter(({ holds, required }) => required && !holds)).toEqual([]);
    },
  );

  it('say what most rules keep and this one does not', async () => {
    const { rule } = await loadRuleFile('examples/rules/log-examples.ts');
    const found = await findings(rule, parseOptions(rule, {}));
    expect(found.filter(({ holds }) => !holds).map(({ what }) => what)).toEqual([
      'counts the same where everybody has ten times the examples',
    ]);
  });

  it('find a rule that keeps something between rounds', async () => {
    expect(await failing('linearRule({ ...about, weigh: () => ++kept })')).toEqual(
      expect.arrayContaining([expect.stringContaining('runs again: it keeps something')]),
    );
  });

  it('find a rule that goes by the order of arrival', async () => {
    const byArrival = `{
      ...linearRule({ ...about, weigh: () => 1 }),
      family: 'general',
      begin: () => [],
      accumulate: async (acc, update) => { acc.push(update); },
      finish: async ([first], { model, state }) => ({
        delta: Float64Array.from(await first.read('delta', 0, model.length)),
        state, weights: { [first.clientId]: 1 }, diagnostics: {},
      }),
    }`;
    const found = await failing(byArrival);
    expect(found[0]).toMatch(/any order of arrival: parameter 0 moved by/);
    expect(found[1]).toMatch(/finite weight: client-1 has undefined/);
  });

  it.each([
    ['tensors: { c: new Float32Array(17) }, values: {}', '"c" is of type Float32Array'],
    ['tensors: {}, values: { best: 0 / 0 }', '"best" is NaN'],
  ])('find a state that does not come back: %s', async (state, says) => {
    const found = await failing(
      `linearRule({ ...about, weigh: () => 1, advance: () => ({ ${state} }) })`,
    );
    expect(found).toEqual([expect.stringContaining(says)]);
  });

  it('find a vector that cannot be sent down', async () => {
    const found = await failing(
      `linearRule({ ...about, weigh: () => 1, broadcast: () => ({ 'a/b': new Float64Array(17) }) })`,
    );
    expect(found).toEqual([expect.stringContaining('the rule sends "a/b"')]);
  });

  it('find a rule that throws, and one whose weight is over its own bound', async () => {
    expect(
      await failing('combinationRule({ ...about, needs: {}, combine: () => nothing })'),
    ).toEqual(expect.arrayContaining([expect.stringContaining('nothing is not defined')]));
    expect(await failing('linearRule({ ...about, weigh: () => 1001 })')).toEqual(
      expect.arrayContaining([expect.stringContaining("over the run's cap of 1000")]),
    );
  });
});

it('shows a rule from a file like one of the registry', async () => {
  const { rule } = await loadRuleFile('examples/rules/agreement.ts');
  const text = entryShown(ruleInfo(rule));
  expect(text).toMatch(/^agreement: Counts updates by how far/);
  expect(text).toMatch(/^ {2}floor: number >= 0, <= 1, default 0\.1$/m);
});
