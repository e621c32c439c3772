/** Values of command-line options, read and checked before anything is done with them. */
import type { Command } from 'commander';
import { TributaryError, parse } from '../../protocol/errors.js';
import type { OperatorRole } from '../../protocol/http.js';
import { operatorRole } from '../../protocol/http.js';
import { plainName } from '../../protocol/model.js';
import type { Role } from '../../protocol/run.js';
import { role as roleSchema } from '../../protocol/run.js';

/** A client that is to be enrolled. */
export interface WantedClient {
  readonly name: string;
  readonly role: Role;
}

/** @throws TributaryError `bad_request`, naming the option `what`. */
export function wholeNumber(text: string, what: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new TributaryError('bad_request', `${what}: "${text}" is not a whole number`);
}

/** @throws TributaryError `bad_request`. */
export function parseRole(text: string): Role {
  const result = roleSchema.safeParse(text);
  if (result.success) return result.data;
  throw new TributaryError(
    'bad_request',
    `"${text}" is not a role: use ${roleSchema.options.join(', ')}`,
  );
}

/** @throws TributaryError `bad_request`. */
export function parseOperatorRole(text: string): OperatorRole {
  const result = operatorRole.safeParse(text);
  if (result.success) return result.data;
  const message = `"${text}" is not a role of operators: use ${operatorRole.options.join(', ')}`;
  throw new TributaryError('bad_request', message);
}

export function expiryOption(command: Command): Command {
  return command.option('--expires <time>', 'end the token after 90m, 12h, 30d, … (else never)');
}

const UNITS_MS: Readonly<Partial<Record<string, number>>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds; undefined where nothing was said. @throws TributaryError `bad_request`. */
export function parseExpiry(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, count = '', unit = ''] = /^([1-9]\d{0,5})([mhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS_MS[unit] ?? 0);
  if (ms > 0) return ms;
  throw new TributaryError('bad_request', `--expires: "${text}" is no time: try 90m, 12h or 30d`);
}

/**
 * Clients as `name` or `name:role`, no name twice. Checked whole before a run is created: a mistake
 * found later would leave a run with half of its clients.
 *
 * @throws TributaryError `bad_request`, repeating the value that is wrong.
 */
export function wantedClients(texts: readonly string[]): WantedClient[] {
  const names = new Set<string>();
  return texts.map((text) => {
    const [name, role = 'source', ...more] = text.split(':');
    if (more.length > 0) {
      throw new TributaryError('bad_request', `--client "${text}": write name or name:role`);
    }
    parse(plainName, name, `--client "${text}"`);
    if (names.has(name)) {
      throw new TributaryError('bad_request', `--client "${text}": "${name}" is named twice`);
    }
    names.add(name);
    return { name, role: parseRole(role) };
  });
}
