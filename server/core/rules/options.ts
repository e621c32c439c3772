/** Options of rules and optimizers: parsed, explained, and described as JSON schema. */
import { z } from 'zod';
import type { RuleInfo } from '../../../protocol/http.js';
import { TributaryError } from '../../../protocol/errors.js';
import { suggestion } from '../suggest.js';
import type { RuleDescription } from './rule.js';

type Described<O> = Pick<RuleDescription<O>, 'name' | 'options'>;

/** JSON schema of what may be given, with the defaults. */
export function optionsSchema({ options }: Described<unknown>): RuleInfo['options'] {
  return JSON.parse(
    JSON.stringify(z.toJSONSchema(options, { io: 'input' })),
  ) as RuleInfo['options'];
}

/**
 * The options with their defaults filled in.
 * @throws TributaryError `rule_options` naming the option that is wrong or unknown.
 */
export function parseOptions<O>(described: Described<O>, options: unknown = {}): O {
  const result = described.options.safeParse(options);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const [key] = issue.keys;
    const message = `"${described.name}" has no option "${key}"${suggestion(key, namesOf(described))}`;
    throw new TributaryError('rule_options', message, { path: key });
  }
  const message = `option ${path ? `"${path}" ` : ''}of "${described.name}": ${issue.message}`;
  throw new TributaryError('rule_options', message, { path });
}

function namesOf(described: Described<unknown>): string[] {
  const { properties } = optionsSchema(described);
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}
