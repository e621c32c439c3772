/** The operator's token where none is configured: made once, kept in a file that only its owner reads. */
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import { newToken } from '../engine/tokens.js';
import { keptSecret } from './secret-file.js';

export const MIN_TOKEN_LENGTH = 16;

/** Where the commands on the same machine look for it. */
export function operatorTokenPath(dataDir: string): string {
  return join(dataDir, 'operator-token');
}

/**
 * Reads the token of a data directory, making it first where there is none.
 *
 * @throws TributaryError `storage_unavailable`, naming the file.
 */
export async function storedOperatorToken(dataDir: string): Promise<string> {
  const path = operatorTokenPath(dataDir);
  try {
    const token = (await keptSecret(path, () => `${newToken('operator')}\n`)).trim();
    if (/^[\x21-\x7e]+$/.test(token) && token.length >= MIN_TOKEN_LENGTH) return token;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `the operator token cannot be kept in ${path}: ${why}`;
    throw new TributaryError('storage_unavailable', message, { path }, { cause });
  }
  const message = `${path} holds no token of ${MIN_TOKEN_LENGTH} characters: delete it and start again`;
  throw new TributaryError('storage_unavailable', message, { path });
}
