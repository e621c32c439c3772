/** Blobs in a directory by age: listed, and deleted unless they were stored again meanwhile. */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ListedBlob } from '../core/ports.js';
import { onStorage } from './blob-files.js';
import { ifThere, isMissing } from './files.js';

/** Where a blob lies while it is looked at for the last time. */
const ASIDE = '.aside';

/** @throws TributaryError `storage_unavailable` */
export async function* listBlobs(root: string): AsyncGenerator<ListedBlob> {
  for (const prefix of await prefixesOf(root)) {
    const names = await onStorage('list the blobs', () => readdir(join(root, prefix)));
    for (const name of names) {
      const listed = await described(root, prefix, name);
      if (listed) yield listed;
    }
  }
}

async function prefixesOf(root: string): Promise<string[]> {
  const names = await onStorage('list the blobs', () => readdir(root));
  return names.filter((name) => /^[0-9a-f]{2}$/.test(name));
}

async function described(root: string, prefix: string, name: string): Promise<ListedBlob | null> {
  if (!/^[0-9a-f]{62}$/.test(name)) return null;
  const found = await onStorage('list the blobs', () => ifThere(stat(join(root, prefix, name))));
  return found && { sha256: prefix + name, bytes: found.size, storedAt: found.mtimeMs };
}

/**
 * A file cannot be looked at and removed in one step: somebody who stores the same content between
 * the two, and gives a receipt for it, would lose it. So it is moved aside first. What is found to be
 * young there goes back, over the same content at worst.
 */
export async function deleteOld(path: string, storedBefore: number): Promise<void> {
  const aside = path + ASIDE;
  try {
    if ((await stat(path)).mtimeMs >= storedBefore) return;
    await rename(path, aside);
    if ((await stat(aside)).mtimeMs >= storedBefore) await rename(aside, path);
    else await rm(aside, { force: true });
  } catch (error) {
    // Somebody else was faster.
    if (!isMissing(error)) throw error;
  }
}

/** Puts back what a process moved aside and did not live to judge. */
export async function restoreAside(root: string): Promise<void> {
  for (const prefix of await prefixesOf(root)) {
    const names = await readdir(join(root, prefix));
    for (const name of names.filter((each) => each.endsWith(ASIDE))) {
      const aside = join(root, prefix, name);
      await rename(aside, aside.slice(0, -ASIDE.length)).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    }
  }
}
