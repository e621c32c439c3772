/**
 * A rule's file as one module: plain ESM in which everything that it imports is contained, but
 * `tributary-fl` and `zod`, which a coordinator gives of its own. The same files make the same bytes
 * wherever they lie, so the sha256 of the module says which rule a run had.
 */
import { isBuiltin } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import type { Plugin } from 'esbuild';
import { build } from 'esbuild';
import { TributaryError } from '../../../protocol/errors.js';
import { hosted, refusedImport } from './hosted.js';
import { whyNotBuilt } from './messages.js';

const hostedStayOut: Plugin = {
  name: 'hosted modules stay out',
  setup(bundler) {
    bundler.onResolve({ filter: /^[^./]/ }, ({ path }) => {
      if (hosted.has(path)) return { path, external: true };
      const refused = isBuiltin(path) || path.startsWith('tributary-fl/');
      return refused ? { errors: [{ text: refusedImport(path) }] } : null;
    });
  },
};

/**
 * Reads a rule's file (`.ts`, `.js`, `.mjs`) with all that it imports.
 * @throws TributaryError `bad_request` with file and line of what is wrong.
 */
export async function bundleRule(file: string): Promise<Uint8Array> {
  const path = resolve(file);
  try {
    const { outputFiles } = await build({
      entryPoints: [path],
      // Paths in the bundle's comments are relative to it: the same wherever the file lies.
      absWorkingDir: dirname(path),
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      target: 'node20',
      charset: 'utf8',
      legalComments: 'none',
      // The author's tsconfig.json would be another input.
      tsconfigRaw: '{}',
      logLevel: 'silent',
      plugins: [hostedStayOut],
    });
    return outputFiles[0].contents;
  } catch (cause) {
    const message = `${basename(file)}: ${whyNotBuilt(cause)}`;
    throw new TributaryError('bad_request', message, undefined, { cause });
  }
}
