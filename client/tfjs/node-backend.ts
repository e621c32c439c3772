/**
 * What Node has and browsers have not. Its built-in modules are asked of `process` when they are
 * needed, not imported, so that a bundle for browsers may contain this file.
 */
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

export function isNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node !== undefined;
}

/** Has the wasm binaries read from the installed package, not fetched. */
export function locateWasm(): void {
  const modules = process.getBuiltinModule('node:module');
  const { dirname, sep } = process.getBuiltinModule('node:path');
  const main = modules.createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(dirname(main) + sep);
}

/**
 * Loads tfjs-node, which registers the backend `tensorflow`. It is optional, because its installation
 * downloads libtensorflow.
 *
 * @returns its version.
 * @throws whatever the import throws where it is not installed, or its library is missing.
 */
export async function loadTensorflow(): Promise<string> {
  // In a variable, so that neither the compiler nor a bundler insists on finding it.
  const name = '@tensorflow/tfjs-node';
  const { version } = (await import(/* @vite-ignore */ name)) as {
    version: Readonly<Record<string, string>>;
  };
  return version['tfjs-node'];
}
