/** Whether what a module exports is a rule. Its author may have written it without types. */
import { plainName } from '../../../protocol/model.js';
import type { AnyRule } from '../../core/rules/rule.js';

const FAMILIES = ['linear', 'combination', 'coordinate', 'general'];
const METHODS = ['minUpdates', 'begin', 'accumulate', 'finish'] as const;
const MADE_WITH = 'make it with linearRule, combinationRule or coordinateRule of "tributary-fl"';

/** @param refuse throws, with what is wrong and the next thing to try */
export function asRule(value: unknown, refuse: (why: string) => never): AnyRule {
  if (value === undefined) refuse('it has no default export: write "export default linearRule(…)"');
  if (!isObject(value))
    return refuse(`its default export is ${typeof value}, no rule: ${MADE_WITH}`);
  const missing = METHODS.find((name) => typeof value[name] !== 'function');
  if (missing) refuse(`its default export is no rule, without "${missing}": ${MADE_WITH}`);
  if (!FAMILIES.includes(String(value.family)))
    refuse(`"family" is none of ${FAMILIES.join(', ')}`);
  if (!isObject(value.needs))
    refuse('"needs" is no object: write {} for a rule that needs nothing');
  const name = plainName.safeParse(value.name);
  if (!name.success) refuse(`"name": ${name.error.issues[0].message}`);
  if (typeof value.paper !== 'string') refuse('"paper" is no text: say where the rule comes from');
  if (!isSchema(value.options)) refuse('"options" is no zod schema: write z.strictObject({ … })');
  // Everything that the type says of plain data and methods was looked at.
  return value as unknown as AnyRule;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Of this zod or of one that the module brought along. */
function isSchema(value: unknown): boolean {
  return isObject(value) && '_zod' in value && typeof value.safeParse === 'function';
}
