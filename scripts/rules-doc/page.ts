/** docs/rules.md, from the catalogue and the comments. */
import type { Catalogued, RuleInfo, RuleList } from '../../protocol/http.js';
import { families } from '../../server/cli/rules/list.js';
import { needsInFull, needsInShort } from '../../server/cli/rules/needs.js';
import type { OptionRow } from '../../server/cli/rules/options.js';
import { optionRows } from '../../server/cli/rules/options.js';
import type { Paragraph } from './comments.js';
import { isFormula } from './comments.js';

type Entry = Catalogued | RuleInfo;

const intro = `<!-- Written by scripts/rules-doc.ts from the registry and the comments at the head of each rule's file: change those, not this. -->

# Rules, optimizers and steps

A run names a rule, a server optimizer and the steps that follow, each with its options:

\`\`\`json
{ "rule": { "name": "fedgp", "options": { "beta": "auto" } }, "optimizer": "adam", "after": ["ema"] }
\`\`\`

\`tributary rules\` lists what is here, and \`tributary rules show NAME\` prints one of them. An option that a rule does not have is refused by name. A rule of your own needs one file: [write a rule](write-a-rule.md).

Notation: w is the model before the round, w_i a client's model after its training, D_i = w_i - w its update, n_i its number of examples, p_i = n_i / sum n, K the number of updates, f the assumed number of attackers.`;

/** @param commentOf the paragraphs at the head of an entry's file, by its name */
export function page(
  { rules, optimizers, steps }: RuleList,
  commentOf: (name: string) => readonly Paragraph[],
): string {
  const section = (title: string, what: string, entries: readonly Entry[]): string =>
    [
      `## ${title}`,
      what,
      table(entries),
      ...entries.map((entry) => described(entry, commentOf(entry.name))),
    ].join('\n\n');
  const named = rules.filter(({ control }) => !control);
  return [
    intro,
    ...Object.entries(families).map(([family, what]) => {
      const ofFamily = named.filter((rule) => rule.family === family);
      return section(`${capital(family)} rules`, `${capital(what)}.`, ofFamily);
    }),
    section(
      'Controls',
      'No way to federate: what a rule must beat in a comparison.',
      rules.filter(({ control }) => control),
    ),
    section(
      'Server optimizers',
      'How the aggregate moves the model. A run names one as `optimizer`; without, it is `sgd` with eta 1, which adds the aggregate as it is.',
      optimizers,
    ),
    section(
      'Steps after aggregation',
      'A run names them as `after`, in their order. They come after the optimizer.',
      steps,
    ),
    '',
  ].join('\n\n');
}

function table(entries: readonly Entry[]): string {
  const rows = entries.map((entry) => {
    const needs = 'needs' in entry ? needsInShort(entry).join(', ') : '';
    return `| [\`${entry.name}\`](#${entry.name}) | ${cell(entry.summary)} | ${cell(needs)} |`;
  });
  return ['| name | | needs |', '| --- | --- | --- |', ...rows].join('\n');
}

function described(entry: Entry, comment: readonly Paragraph[]): string {
  const needs = 'needs' in entry ? needsInFull(entry) : '';
  return [
    `### \`${entry.name}\``,
    text(entry.summary),
    ...comment.map((paragraph) => (isFormula(paragraph) ? formula(paragraph) : text(paragraph))),
    ...(needs === '' ? [] : [`It needs ${text(needs)}.`]),
    options(optionRows(entry.options)),
  ].join('\n\n');
}

function options(rows: readonly OptionRow[]): string {
  if (rows.length === 0) return 'It has no options.';
  const lines = rows.map(({ name, type, fallback, required, description }) => {
    const preset = fallback === '' ? (required ? 'required' : '') : code(fallback);
    return `| ${code(name)} | ${code(type)} | ${preset} | ${cell(description)} |`;
  });
  return ['| option | type | default | |', '| --- | --- | --- | --- |', ...lines].join('\n');
}

function formula(lines: string): string {
  return ['```text', ...lines.split('\n').map((line) => line.slice(4)), '```'].join('\n');
}

/** Plain text whose signs of arithmetic Markdown would take for its own. */
function text(plain: string): string {
  return plain
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replace(/[<*[\]]/g, '\\$&')))
    .join('');
}

function cell(plain: string): string {
  return text(plain).replaceAll('|', '\\|');
}

function code(plain: string): string {
  return `\`${plain.replaceAll('|', '\\|')}\``;
}

function capital(word: string): string {
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
}
