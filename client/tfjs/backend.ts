/** Where the arithmetic is done: one backend a process, or a worker. */
import { version_wasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { TributaryError } from '../../protocol/errors.js';
import { registerWasmKernels } from './kernels/index.js';
import {
  backendOfEnvironment,
  isNode,
  loadTensorflow,
  locateWasm,
  withoutThrowingListeners,
} from './node-backend.js';

/** What computed a result, for the record: other backends and versions round differently. */
export interface Backend {
  /** `wasm`, `tensorflow`, … */
  readonly name: string;
  /** Version of its package; `-simd` where the wasm binary with SIMD instructions runs. */
  readonly version: string;
}

let queue: Promise<unknown> = Promise.resolve();
const ready = new Map<string | undefined, Backend>();

/**
 * Loads a backend and makes it TF.js' current one. Nothing is fetched from the network, except in
 * browsers the page's own .wasm file. Calling it again with the same name costs next to nothing.
 *
 * @param preferred `tensorflow` (tfjs-node; Node only), `wasm`, or a backend that the caller has
 * registered by importing its package, such as `cpu`. By default, in Node, what TRIBUTARY_BACKEND
 * says, else `tensorflow` where tfjs-node is installed and works; `wasm` everywhere else.
 * @throws TributaryError `bad_request` where the backend is not there, `internal` where it does not
 * start.
 */
export async function prepareBackend(preferred = backendOfEnvironment()): Promise<Backend> {
  // One at a time: TF.js gives up a backend that is still starting when it is told another.
  const result = queue.then(() => prepare(preferred));
  queue = result.catch(() => undefined);
  return result;
}

/** Prepares the default backend unless there is a current one. */
export async function anyBackend(): Promise<void> {
  if ((tf.getBackend() as string | undefined) === undefined) await prepareBackend();
}

async function prepare(preferred: string | undefined): Promise<Backend> {
  const backend = ready.get(preferred) ?? (await load(preferred));
  const start = (): Promise<boolean> => tf.setBackend(backend.name);
  if (!(await (isNode() ? withoutThrowingListeners(start) : start())))
    throw new TributaryError('internal', `the backend "${backend.name}" of TF.js did not start`);
  ready.set(preferred, backend);
  return backend;
}

async function load(preferred: string | undefined): Promise<Backend> {
  if (preferred === 'wasm') return loadWasm();
  if (preferred === 'tensorflow') return tensorflow();
  // A broken installation of an optional package is no reason not to train.
  if (preferred === undefined) return isNode() ? tensorflow().catch(loadWasm) : loadWasm();
  if ((tf.findBackendFactory(preferred) as unknown) === null)
    throw new TributaryError(
      'bad_request',
      `backend "${preferred}" is not registered: import its package first`,
    );
  return { name: preferred, version: tf.version_core };
}

async function tensorflow(): Promise<Backend> {
  if (!isNode()) throw new TributaryError('bad_request', 'backend "tensorflow" runs in Node only');
  try {
    const backend = { name: 'tensorflow', version: await loadTensorflow() };
    await tryOut(backend);
    return backend;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `backend "tensorflow" needs @tensorflow/tfjs-node: ${reason}`;
    throw new TributaryError('bad_request', message, undefined, { cause });
  }
}

/** Its native half may be missing or built for another Node, which only shows when it computes. */
async function tryOut({ name }: Backend): Promise<void> {
  await tf.setBackend(name);
  const sum = tf.tidy(() => tf.add(tf.scalar(1), tf.scalar(2)).dataSync()[0]);
  if (sum !== 3) throw new Error(`1 + 2 is ${sum}`);
}

async function loadWasm(): Promise<Backend> {
  if (isNode()) locateWasm();
  // The threaded build hangs where it is minified, on pages that allow threads; and sums that are
  // split over threads need not round alike.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  registerWasmKernels();
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  return { name: 'wasm', version: simd ? `${version_wasm}-simd` : version_wasm };
}
