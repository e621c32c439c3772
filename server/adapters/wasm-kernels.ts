/** The kernels in WASM SIMD: the same bits as the reference, at the speed of memory. */
import { referenceKernels } from '../core/kernels/reference.js';
import type { Kernels } from '../core/kernels/kernels.js';
import { elementwise } from './wasm-kernels/elementwise.js';
import { fixedPoint } from './wasm-kernels/fixed-point.js';
import { gram } from './wasm-kernels/gram.js';
import { wasmMemory } from './wasm-kernels/memory.js';
import { instantiate, isSupported } from './wasm-kernels/module.js';
import { rankMean } from './wasm-kernels/rank-mean.js';

/** Whether this machine runs them: engines without SIMD keep {@link referenceKernels}. */
export function wasmKernelsSupported(): boolean {
  return isSupported();
}

/**
 * Kernels with a memory of their own, 40 MiB of which only what is used becomes resident. To be
 * shared by everything in a thread: calls don't wait for anything, and room for rows is leased.
 * @throws TributaryError `internal` where the compiled kernels are missing or cannot run.
 */
export function createWasmKernels(): Kernels {
  const memory = wasmMemory();
  const parts = { memory, exports: instantiate(memory.memory) };
  return {
    rows: (count, length) => memory.rows(count, length),
    release: (rows) => memory.release(rows),
    ...fixedPoint(parts),
    ...elementwise(parts),
    gram: gram(parts, referenceKernels),
    rankMean: rankMean(parts, referenceKernels),
  };
}
