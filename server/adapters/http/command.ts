/** What an operator sends to be done. */
import type { IncomingMessage } from 'node:http';
import { readJson } from './body.js';
import type { HttpParts } from './parts.js';

export interface Command {
  /** The operator, as the ledger names it. */
  readonly by: string;
  readonly body: unknown;
}

/**
 * Reads the body of whoever is allowed to send it, and asks again when it is there: it may come slowly
 * on purpose, and its sender have been revoked meanwhile.
 *
 * @throws TributaryError as `Auth` and `readJson`.
 */
export async function readCommand(
  req: IncomingMessage,
  needed: 'operator' | 'admin',
  maxBytes: number,
  { auth, limits }: Pick<HttpParts, 'auth' | 'limits'>,
): Promise<Command> {
  await auth[needed](req);
  const body = await readJson(req, maxBytes, limits.body);
  const { name: by } = await auth[needed](req);
  return { by, body };
}
