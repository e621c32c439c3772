/** Secrets that are made once and kept in a file that only its owner reads. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * The content of a secret's file, which is made first where there is none. It appears whole or not at
 * all; where two processes start at once, both end up with the first one's.
 */
export async function keptSecret(
  path: string,
  make: () => string | Promise<string>,
): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  return (await readIfThere(path)) ?? (await keep(path, await make()));
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function keep(path: string, secret: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeDurably(draft, secret);
    await link(draft, path);
    return secret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readIfThere(path)) ?? secret;
  } finally {
    await rm(draft, { force: true });
  }
}

/** A power cut after the link must not leave an empty file: what it held could not be had again. */
async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
