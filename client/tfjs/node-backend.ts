/**
 * What Node has and browsers have not. Its built-in modules are asked of `process` when they are
 * needed, not imported, so that a bundle for browsers may contain this file.
 */
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

export function isNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node !== undefined;
}

/** The backend that the environment asks for: results of different backends differ in their bits. */
export function backendOfEnvironment(): string | undefined {
  return isNode() ? process.env.TRIBUTARY_BACKEND : undefined;
}

/** Has the wasm binaries read from the installed package, not fetched. */
export function locateWasm(): void {
  const modules = process.getBuiltinModule('node:module');
  const paths = process.getBuiltinModule('node:path');
  const main = modules.createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(paths.dirname(main) + paths.sep);
}

/** As Emscripten writes them. */
const THROWING_LISTENER = /^function\s*\(\w+\)\s*\{\s*(if\s*\(!\(\w+ instanceof ExitStatus|throw )/;

/**
 * Starts the wasm backend without what its loader does to the process: it adds listeners that throw
 * every uncaught error and rejection again, before the program's own listeners see them. A server
 * that computes in the same process would die of what it had meant to log.
 */
export async function withoutThrowingListeners<T>(start: () => Promise<T>): Promise<T> {
  const { process } = globalThis as unknown as { process: NodeJS.EventEmitter };
  const events = ['uncaughtException', 'unhandledRejection'];
  const before = events.map((event) => new Set(process.listeners(event)));
  try {
    return await start();
  } finally {
    events.forEach((event, index) => {
      // Others may have been added meanwhile by somebody who needs them: look what it is.
      const added = process.listeners(event).filter((listener) => !before[index].has(listener));
      for (const listener of added)
        if (THROWING_LISTENER.test(listener.toString()))
          process.removeListener(event, listener as () => void);
    });
  }
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
