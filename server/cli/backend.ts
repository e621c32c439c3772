/** Which backend demonstrations and comparisons compute with. */
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Backend } from '../../client/tfjs/backend.js';

/**
 * Prepares wasm, for this process and those that it starts, unless TRIBUTARY_BACKEND says otherwise:
 * every machine has it, so that its results can be held against the documented ones.
 */
export async function prepareCommonBackend(): Promise<Backend> {
  process.env.TRIBUTARY_BACKEND ??= 'wasm';
  return prepareBackend();
}
