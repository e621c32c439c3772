/** Fusing files in a folder of the test's own. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TensorInput } from '../../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../../protocol/safetensors.js';
import type { FuseOptions } from '../../../server/cli/fuse.js';
import { fuseFiles } from '../../../server/cli/fuse/command.js';
import type { Fused } from '../../../server/cli/fuse/results.js';
import { folder } from '../../support/folder.js';

/** Written by the reference library, as PyTorch does: test/fixtures/fuse/make.py. */
export const made = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/fuse/${name}.safetensors`, import.meta.url));

/** In the folder of the test file. */
export const file = (name: string): string => join(folder, name);

const defaults = { batchSize: '128', optimizer: 'sgd', rule: 'fedavg' };

export function fuse(paths: readonly string[], options: Partial<FuseOptions> = {}): Promise<Fused> {
  const base = options.base ?? made('base');
  return fuseFiles(paths, { ...defaults, out: file('out.safetensors'), ...options, base });
}

export const fixtures = [made('one'), made('two')];

export type Values = Readonly<Record<string, readonly number[]>>;

export async function write(name: string, tensors: Values): Promise<string> {
  const entries = Object.entries(tensors).map(([key, values]): [string, TensorInput] => [
    key,
    { shape: [values.length], data: Float32Array.from(values) },
  ]);
  await writeFile(file(name), encodeSafetensors(Object.fromEntries(entries)));
  return file(name);
}

export async function read(path = file('out.safetensors')): Promise<Values> {
  const { tensors } = decodeSafetensors(await readFile(path));
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, Array.from(data, Number)]),
  );
}
