/** The package that this file belongs to: the same in the sources and built into dist. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const PACKAGE = 'tributary-fl';
const manifest = z.object({ name: z.string(), version: z.string() });

const found = findPackage(dirname(fileURLToPath(import.meta.url)));

/** Folder of package.json. */
export const packageRoot: string = found.root;
export const packageVersion: string = found.version;

function findPackage(start: string): { root: string; version: string } {
  for (let root = start; ; root = dirname(root)) {
    const path = join(root, 'package.json');
    const read = existsSync(path)
      ? manifest.safeParse(JSON.parse(readFileSync(path, 'utf8')))
      : null;
    if (read?.data?.name === PACKAGE) return { root, version: read.data.version };
    if (root === dirname(root)) throw new Error(`${start} is not inside the package ${PACKAGE}`);
  }
}
