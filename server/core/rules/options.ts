/** Options of rules and optimizers: parsed, explained, and described as JSON schema. */
import { z } from 'zod';
import type { Catalogued } from '../../../protocol/http.js';
import { TributaryError } from '../../../protocol/errors.js';
import { suggestion } from '../suggest.js';
import type { RuleDescription } from './rule.js';

type Described<O> = Pick<RuleDescription<O>, 'name' | 'options'>;

/** JSON schema of what may be given, with the defaults. */
export function optionsSchema({ options }: Described<unknown>): Catalogued['options'] {
  return JSON.parse(
    JSON.stringify(z.toJSONSchema(options, { io: 'input' })),
  ) as Catalogued['options'];
}

/** A rule, an optimizer or a step as `GET /v1/rules` shows it. */
export function catalogued(described: RuleDescription<unknown>): Catalogued {
  const { name, summary = '', paper } = described;
  return { name, summary, paper, options: optionsSchema(described) };
}

/**
 * The options with their defaults filled in.
 * @throws TributaryError `rule_options` naming the option that is wrong or unknown.
 */
export function parseOptions<O>(described: Described<O>, options: unknown = {}): O {
  const result = described.options.safeParse(options);
  if (result.success) return result.data;
  const { issues } = result.error;
  // A name that is wrong says more than the one that is missing for it.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const [key] = issue.keys;
    const where = [...issue.path, key].map(String).join('.');
    const near = suggestion(key, namesIn(optionsSchema(described), issue.path));
    const message = `"${described.name}" has no option "${where}"${near}`;
    throw new TributaryError('rule_options', message, { path: where });
  }
  const message = `option ${path ? `"${path}" ` : ''}of "${described.name}": ${issue.message}`;
  throw new TributaryError('rule_options', message, { path });
}

/** The options that there are, at the top or inside the one that the path leads to. */
function namesIn(schema: unknown, path: readonly PropertyKey[]): string[] {
  const properties = isObject(schema) && isObject(schema.properties) ? schema.properties : {};
  if (path.length === 0) return Object.keys(properties);
  return namesIn(properties[String(path[0])], path.slice(1));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
