/** `tributary rules show`: one rule, optimizer or step in full. */
import { TributaryError } from '../../../protocol/errors.js';
import type { Catalogued, RuleInfo, RuleList } from '../../../protocol/http.js';
import { suggestion } from '../../core/suggest.js';
import { families } from './list.js';
import { needsInFull } from './needs.js';
import type { OptionRow } from './options.js';
import { optionRows } from './options.js';
import { prose } from './prose.js';
import { WIDTH, beside, wrap } from './wrap.js';

export type Entry = Catalogued | RuleInfo;

const LABEL_COLUMN = 10;
const OPTION_COLUMN = 4;

/** @throws TributaryError `rule_unknown`, suggesting the nearest name. */
export function entryNamed(name: string, { rules, optimizers, steps }: RuleList): Entry {
  const entries: Entry[] = [...rules, ...optimizers, ...steps];
  const found = entries.find((entry) => entry.name === name);
  if (found) return found;
  const near = suggestion(
    name,
    entries.map((entry) => entry.name),
  );
  throw new TributaryError('rule_unknown', `there is no rule, optimizer or step "${name}"${near}`);
}

export function entryShown(entry: Entry): string {
  const facts = [
    ...('family' in entry
      ? beside('family', `${entry.family}: ${families[entry.family]}`, LABEL_COLUMN)
      : []),
    ...beside('paper', entry.paper, LABEL_COLUMN),
    ...needsShown(entry),
  ];
  const said = Object.hasOwn(prose, entry.name) ? proseShown(prose[entry.name]) : [];
  return [
    ...wrap([entry.name, entry.summary].filter(Boolean).join(': ')),
    '',
    ...facts,
    ...(said.length > 0 ? ['', ...said] : []),
    '',
    ...optionsShown(optionRows(entry.options)),
  ].join('\n');
}

function needsShown(entry: Entry): string[] {
  if (!('needs' in entry)) return [];
  return beside('needs', plain(needsInFull(entry)) || 'nothing', LABEL_COLUMN);
}

/** Formulas, which are indented, keep their lines. */
function proseShown(text: string): string[] {
  return text.split('\n\n').flatMap((paragraph, i) => {
    const lines = paragraph.startsWith('    ') ? paragraph.split('\n') : wrap(plain(paragraph));
    return i === 0 ? lines : ['', ...lines];
  });
}

function optionsShown(rows: readonly OptionRow[]): string[] {
  if (rows.length === 0) return ['no options'];
  return ['options', ...rows.flatMap(optionShown)];
}

function optionShown({ name, type, fallback, required, description }: OptionRow): string[] {
  const preset = fallback === '' ? (required ? ', required' : '') : `, default ${fallback}`;
  const indent = ' '.repeat(OPTION_COLUMN);
  const lines = description === '' ? [] : wrap(plain(description), WIDTH - OPTION_COLUMN);
  return [`  ${name}: ${type}${preset}`, ...lines.map((line) => `${indent}${line}`)];
}

/** Without Markdown's quotes of code. */
function plain(text: string): string {
  return text.replaceAll('`', '');
}
