/** What a client of `tributary join` keeps, in a folder: see `--state`. Vectors, and its own token. */
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ClientStorage, TrainFunction } from '../../../client/types.js';
import { TributaryError } from '../../../protocol/errors.js';
import { ifThere, syncDirectory, writeDurably } from '../../adapters/files.js';

/**
 * One file a client and run, replaced whole: after a crash there is the old one or the new one. Only
 * the user who runs the client may read it, since it says something of the data.
 *
 * @throws TributaryError `storage_unavailable`, from its methods.
 */
export function stateFolder(folder: string): ClientStorage {
  return {
    load: (key) => onFile(fileOf(folder, key), 'read', (path) => ifThere(readFile(path))),
    save: (key, bytes) => onFile(fileOf(folder, key), 'write', (path) => replace(path, bytes)),
    remove: (key) => onFile(fileOf(folder, key), 'remove', (path) => rm(path, { force: true })),
  };
}

/**
 * Where there is no folder: the same training, and `warn` is called when it first returns what is to
 * be kept, since losing that costs the whole run (docs/decisions/0009).
 */
export function warnedOfLoss(train: TrainFunction, warn: () => void): TrainFunction {
  let warned = false;
  return async (request) => {
    const result = await train(request);
    if (result.keep && !warned) warn();
    warned ||= result.keep !== undefined;
    return result;
  };
}

/** Keys are made of names, which are plain; a coordinator's word must not lead out of the folder. */
function fileOf(folder: string, key: string): string {
  const name = key.replace(/[^A-Za-z0-9._-]/g, '_');
  return join(folder, name.endsWith('.token') ? name : `${name}.safetensors`);
}

async function replace(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.new`;
  await writeDurably(draft, bytes, 'w');
  await rename(draft, path);
  await syncDirectory(dirname(path));
}

async function onFile<T>(
  path: string,
  what: 'read' | 'write' | 'remove',
  work: (path: string) => Promise<T>,
): Promise<T> {
  try {
    return await work(path);
  } catch (cause) {
    const message = `--state: cannot ${what} ${path}: ${(cause as Error).message}`;
    throw new TributaryError('storage_unavailable', message, undefined, { cause });
  }
}
