/** The compiled module: scripts/build-kernels.mjs makes it of the sources in assembly/. */
import { readFileSync } from 'node:fs';
import { TributaryError } from '../../../protocol/errors.js';

/** Addresses are bytes in the memory; what the functions do is said where they are written. */
export interface KernelExports {
  fold(sum: number, length: number, rows: number, factors: number, count: number): void;
  merge(sum: number, other: number, length: number): void;
  finish(out: number, terms: number, length: number, divisor: number, factor: number): void;
  apply(out: number, base: number, delta: number, length: number): void;
  check(state: number, phase: number, x: number, length: number): void;
  combine(out: number, length: number, rows: number, factors: number, count: number): void;
  gram(
    matrix: number,
    pitch: number,
    rows: number,
    from: number,
    to: number,
    length: number,
    packed: number,
    isFast: number,
  ): void;
  rankMean(
    out: number,
    length: number,
    rows: number,
    count: number,
    from: number,
    to: number,
    steps: number,
    stepCount: number,
    scratch: number,
    width: number,
    counts: number,
    taken: number,
  ): void;
  readSum(x: number, length: number): number;
}

const FILE = new URL('../generated/kernels.wasm', import.meta.url);

let compiled: WebAssembly.Module | undefined;

function bytes(): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(FILE));
  } catch (cause) {
    const message = 'the compiled kernels are missing: npm run generate';
    throw new TributaryError('internal', message, undefined, { cause });
  }
}

/** @throws TributaryError `internal` where they were not built. */
export function isSupported(): boolean {
  return WebAssembly.validate(bytes());
}

/**
 * The kernels over this memory.
 * @throws TributaryError `internal`.
 */
export function instantiate(memory: WebAssembly.Memory): KernelExports {
  try {
    compiled ??= new WebAssembly.Module(bytes());
    return new WebAssembly.Instance(compiled, { env: { memory } })
      .exports as unknown as KernelExports;
  } catch (cause) {
    if (cause instanceof TributaryError) throw cause;
    const message = 'the WASM kernels do not run here: use the reference kernels';
    throw new TributaryError('internal', message, undefined, { cause });
  }
}
