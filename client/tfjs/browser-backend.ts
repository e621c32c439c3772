/**
 * The wasm backend in pages and their workers. Only for bundles that Vite makes, which knows what
 * `?url` means and places the .wasm files; other bundlers call TF.js' own `setWasmPaths`, then
 * `prepareBackend('wasm')`.
 */
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import plainUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simdUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import { prepareBackend } from './backend.js';
import type { Backend } from './backend.js';

/**
 * Loads the wasm backend from the files of the bundle. Call it before the first training.
 *
 * @throws TributaryError `internal` where WebAssembly does not start, e.g. for a strict CSP.
 */
export async function prepareBrowserBackend(): Promise<Backend> {
  setWasmPaths({
    'tfjs-backend-wasm.wasm': plainUrl,
    'tfjs-backend-wasm-simd.wasm': simdUrl,
    // Must be named and is never fetched: prepareBackend turns threads off.
    'tfjs-backend-wasm-threaded-simd.wasm': simdUrl,
  });
  return prepareBackend('wasm');
}
