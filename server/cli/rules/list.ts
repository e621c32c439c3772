/** `tributary rules`: everything that a run can be made of, with a line for each. */
import type { Catalogued, RuleInfo, RuleList } from '../../../protocol/http.js';
import { needsInShort } from './needs.js';
import { beside } from './wrap.js';

/** What the families have in common; also the order in which they are shown. */
export const families: Readonly<Record<RuleInfo['family'], string>> = {
  linear: 'a weight for each update, from its own facts',
  combination: 'coefficients from how the updates relate, or from an oracle',
  coordinate: 'an order statistic for each coordinate',
  general: 'what fits none of the three families',
};

const INDENT = '  ';
const NAME_COLUMN = 22;

export function rulesListed({ rules, optimizers, steps }: RuleList): string {
  const ofFamily = Object.entries(families).map(([family, what]) =>
    section(
      `${family}: ${what}`,
      rules.filter((rule) => rule.family === family && !rule.control),
    ),
  );
  return [
    ...ofFamily,
    section(
      'controls: what a rule must beat in a comparison',
      rules.filter(({ control }) => control),
    ),
    section('server optimizers: how the aggregate moves the model (optimizer)', optimizers),
    section('steps after aggregation (after)', steps),
    'One of them in full: tributary rules show NAME',
  ]
    .filter((text) => text !== '')
    .join('\n\n');
}

function section(title: string, entries: readonly (Catalogued | RuleInfo)[]): string {
  if (entries.length === 0) return '';
  return [title, ...entries.flatMap(line)].join('\n');
}

function line(entry: Catalogued | RuleInfo): string[] {
  const needs = 'needs' in entry ? needsInShort(entry) : [];
  const text = needs.length > 0 ? `${entry.summary} [${needs.join(', ')}]` : entry.summary;
  return beside(`${INDENT}${entry.name}`, text, NAME_COLUMN);
}
