/** Secrets that are made once and kept in a file that only its owner reads. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { textIfThere, writeDurably } from './files.js';

/**
 * The content of a secret's file, which is made first where there is none. It appears whole or not at
 * all; where two processes start at once, both end up with the first one's.
 */
export async function keptSecret(
  path: string,
  make: () => string | Promise<string>,
): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  return (await textIfThere(path)) ?? (await keep(path, await make()));
}

async function keep(path: string, secret: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    // A power cut after the link must not leave an empty file: what it held could not be had again.
    await writeDurably(draft, secret, 'wx');
    await link(draft, path);
    return secret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await textIfThere(path)) ?? secret;
  } finally {
    await rm(draft, { force: true });
  }
}
