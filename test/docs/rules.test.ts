/** docs/rules.md is what the registry and the rules' comments say. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { headOf } from '../../scripts/rules-doc/comments.js';
import { page } from '../../scripts/rules-doc/page.js';
import { catalogue } from '../../server/core/catalogue.js';

const run = promisify(execFile);
const document = readFileSync('docs/rules.md', 'utf8');

it('is up to date, and so is what `tributary rules show` says', async () => {
  const check = ['--import', 'tsx', 'scripts/rules-doc.ts', '--check'];
  await expect(run(process.execPath, check)).resolves.toMatchObject({ stderr: '' });
});

it('has a heading for everything that a run can be made of', () => {
  const { rules, optimizers, steps } = catalogue();
  const headings = [...document.matchAll(/^### `(.+)`$/gm)].map(([, name]) => name);
  const names = [rules, optimizers, steps].flat().map(({ name }) => name);
  expect(headings.sort()).toEqual(names.sort());
});

it('takes a comment for what it is: paragraphs, formulas, lists', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-comment-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'rule.ts');
  writeFileSync(
    path,
    `/**
 * A rule. Somebody, 2026.
 *
 *     new = w
 *           + D
 * Where <a, b> is
 * a product.
 *
 * - one
 *   thing
 * - another
 */
import x from 'y';
`,
  );
  expect(headOf(path)).toEqual([
    'A rule. Somebody, 2026.',
    '    new = w\n          + D',
    'Where <a, b> is a product.',
    '- one thing',
    '- another',
  ]);
});

it('shows signs of arithmetic as they are', () => {
  const list = {
    rules: [],
    optimizers: [],
    steps: [{ name: 'x', summary: 'a*b*c | <v, w> [0]', paper: 'p', options: {} }],
  };
  const text = page(list, () => ['    a * b', 'See `a*b` and <a>.']);
  expect(text).toContain('a\\*b\\*c | \\<v, w> \\[0\\]');
  expect(text).toContain('| [`x`](#x) | a\\*b\\*c \\| \\<v, w> \\[0\\] |');
  expect(text).toContain('```text\na * b\n```');
  expect(text).toContain('See `a*b` and \\<a>.');
});
