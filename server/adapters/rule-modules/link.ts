/**
 * From the bytes of a module to a rule. The module is joined with the coordinator's own `tributary-fl`
 * and `zod` and run as a script, which has what `import()` has not: an end to a loop without end, and
 * no copy for ever in the loader's cache. This is no sandbox: see docs/decisions/0010.
 */
import { Script } from 'node:vm';
import type { Plugin } from 'esbuild';
import { build } from 'esbuild';
import { TributaryError } from '../../../protocol/errors.js';
import type { AnyRule } from '../../core/rules/rule.js';
import { asRule } from './check.js';
import { guarded, withinTime } from './guard.js';
import { HOSTED, handingOn, hosted, refusedImport } from './hosted.js';
import { whyNotBuilt } from './messages.js';

const EXPORTS = 'exported';
const LOAD_MS = 5000;

interface Exports {
  readonly default?: unknown;
}

const hostedHandOn: Plugin = {
  name: 'hosted modules hand on',
  setup(bundler) {
    bundler.onResolve({ filter: /.*/ }, ({ path }) => {
      if (!hosted.has(path)) return { errors: [{ text: refusedImport(path) }] };
      return { path, namespace: HOSTED, sideEffects: false };
    });
    bundler.onLoad({ filter: /.*/, namespace: HOSTED }, ({ path }) => ({
      contents: handingOn(path),
    }));
  },
};

/**
 * @param name what the module is called in messages: a file, or its hash
 * @throws TributaryError `bad_request` where the module is none, throws, or has no rule as its
 * default export.
 */
export async function linkRule(code: Uint8Array, name: string): Promise<AnyRule> {
  const refuse = (why: string, cause?: unknown): never => {
    throw new TributaryError('bad_request', `${name}: ${why}`, undefined, { cause });
  };
  const script = await scriptOf(code).catch((error: unknown) => refuse(whyNotBuilt(error), error));
  let exported: Exports | undefined;
  try {
    exported = run(script, name);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return refuse(`it fails when it is loaded: ${why}`, error);
  }
  return guarded(asRule(exported?.default, refuse));
}

async function scriptOf(code: Uint8Array): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, loader: 'js', sourcefile: 'its module' },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: EXPORTS,
    platform: 'neutral',
    target: 'node20',
    tsconfigRaw: '{}',
    logLevel: 'silent',
    plugins: [hostedHandOn],
  });
  return outputFiles[0].text;
}

/** Undefined where the module exports nothing: an empty file, say. */
function run(script: string, filename: string): Exports | undefined {
  const source = `(function (${HOSTED}) { "use strict"; ${script}\nreturn ${EXPORTS}; })`;
  const main = new Script(source, { filename }).runInThisContext() as (
    modules: typeof hosted,
  ) => ReturnType<typeof run>;
  return withinTime(() => main(hosted), 'its first run', LOAD_MS);
}
