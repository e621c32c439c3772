/** The operator's token where none is configured: made once, kept in a file that only its owner reads. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';

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
    await mkdir(dataDir, { recursive: true });
    const token = (await readIfThere(path)) ?? (await make(path));
    if (/^[\x21-\x7e]+$/.test(token) && token.length >= MIN_TOKEN_LENGTH) return token;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `the operator token cannot be kept in ${path}: ${why}`;
    throw new TributaryError('storage_unavailable', message, { path }, { cause });
  }
  const message = `${path} holds no token of ${MIN_TOKEN_LENGTH} characters: delete it and start again`;
  throw new TributaryError('storage_unavailable', message, { path });
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Appears whole or not at all; where two start at once, both end up with the first one's token. */
async function make(path: string): Promise<string> {
  const token = `tro_${randomBytes(32).toString('base64url')}`;
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, `${token}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, path);
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readIfThere(path)) ?? token;
  } finally {
    await rm(draft, { force: true });
  }
}
