/**
 * Writes docs/rules.md, and what `tributary rules show` says of use and hazards, from the registry and
 * the comments at the head of each rule's file. With `--check` it writes nothing and fails where they
 * are not what it would write.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import type { RequiredOptions } from 'prettier';
import { format, resolveConfig } from 'prettier';
import { catalogue } from '../server/core/catalogue.js';
import { fileOf, headOf } from './rules-doc/comments.js';
import { page } from './rules-doc/page.js';

const PROSE = 'server/cli/rules/prose.ts';
const PAGE = 'docs/rules.md';

const all = catalogue();
const names = [all.rules, all.optimizers, all.steps].flat().map(({ name }) => name);
const comments = new Map(names.map((name) => [name, headOf(fileOf(name))]));

const outdated: string[] = [];
await put(
  PAGE,
  page(all, (name) => comments.get(name) ?? []),
  'markdown',
);
await put(PROSE, proseModule(), 'typescript');
if (outdated.length > 0) {
  process.stderr.write(
    `not what the rules say now: ${outdated.join(', ')}\n  node --import tsx scripts/rules-doc.ts\n`,
  );
  process.exitCode = 1;
}

function proseModule(): string {
  const entries = names.map((name) => [name, (comments.get(name) ?? []).join('\n\n')]);
  return `/** The comments at the head of the rules' files. Written by scripts/rules-doc.ts: change those, not this. */
export const prose: Readonly<Record<string, string>> = ${JSON.stringify(Object.fromEntries(entries))};
`;
}

async function put(
  path: string,
  content: string,
  parser: RequiredOptions['parser'],
): Promise<void> {
  const wanted = await format(content, { ...(await resolveConfig(path)), parser });
  const present = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (wanted === present) return;
  if (process.argv.includes('--check')) outdated.push(path);
  else writeFileSync(path, wanted);
}
