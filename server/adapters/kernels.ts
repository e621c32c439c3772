/** The fastest kernels that this machine runs. */
import type { Kernels } from '../core/kernels/kernels.js';
import { referenceKernels } from '../core/kernels/reference.js';
import type { Log } from '../engine/engine.js';
import { createWasmKernels, wasmKernelsSupported } from './wasm-kernels.js';

/**
 * Kernels to be shared by everything in a thread. The results are the same, bit for bit, wherever
 * they run. The log is told where they are the slow ones.
 *
 * @throws TributaryError `internal` where they were not built (`npm run generate`).
 */
export function newKernels(log?: Pick<Log, 'warn'>): Kernels {
  if (wasmKernelsSupported()) return createWasmKernels();
  log?.warn({}, 'no WASM SIMD here: rounds are aggregated by the plain kernels, which are slower');
  return referenceKernels;
}
