/** The page's side of the training worker: `train` and `evaluate` as `join` takes them. */
import { TributaryError } from '../../protocol/errors.js';
import type { EvaluationReport } from '../../protocol/update.js';
import type { Dataset } from '../tfjs/dataset.js';
import type { EvaluateFunction, TrainFunction, TrainResult } from '../types.js';
import type { FromWorker, ToWorker, WorkerFailure } from './worker-messages.js';
import TrainingWorker from './worker.js?worker&inline';

export interface WorkerTrainerOptions {
  /** Local examples to train on. They go to the worker and nowhere else. */
  readonly data: Dataset;
  /** Local examples to evaluate on; without them the client does not evaluate. */
  readonly evaluationData?: Dataset;
}

export interface WorkerTrainer {
  readonly train: TrainFunction;
  /** Present where evaluation data was given. */
  readonly evaluate?: EvaluateFunction;
  /** The backend that the worker computes with, e.g. `wasm`. */
  readonly backend: string;
  /** Ends the worker. What it was doing fails. */
  close(): void;
}

interface Pending {
  readonly resolve: (value: TrainResult | EvaluationReport) => void;
  readonly reject: (error: Error) => void;
  readonly onMessage: (message: FromWorker) => void;
}

/** Starts a Web Worker that trains TF.js models with WebAssembly while the page stays responsive. */
export async function workerTrainer(options: WorkerTrainerOptions): Promise<WorkerTrainer> {
  const worker = new TrainingWorker();
  const post = (message: ToWorker): void => worker.postMessage(message);
  const pending = new Map<number, Pending>();
  let next = 1;

  const ready = new Promise<string>((resolve, reject) => {
    worker.onmessage = ({ data: message }: MessageEvent<FromWorker>) => {
      if (message.type === 'ready') resolve(message.backend);
      else if (message.type === 'failed' && message.id === null) reject(errorOf(message.error));
      else settle(message);
    };
    worker.onerror = (event) => {
      const error = new Error(`the training worker failed: ${event.message}`);
      reject(error);
      failAll(error);
    };
  });

  const settle = (message: Exclude<FromWorker, { type: 'ready' }>): void => {
    const work = pending.get(message.id ?? 0);
    if (!work) return;
    if (message.type === 'progress') {
      work.onMessage(message);
      return;
    }
    pending.delete(message.id ?? 0);
    if (message.type === 'trained') work.resolve(message.result);
    else if (message.type === 'evaluated') work.resolve(message.report);
    else work.reject(errorOf(message.error));
  };

  const failAll = (error: Error): void => {
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };

  /** Sends one piece of work and waits for its end; an abort is passed on and ends the wait at once. */
  const ask = <T extends TrainResult | EvaluationReport>(
    message: (id: number) => ToWorker,
    signal: AbortSignal,
    onMessage: Pending['onMessage'],
  ): Promise<T> => {
    const id = next++;
    return new Promise<T>((resolve, reject) => {
      signal.throwIfAborted();
      const stop = (): void => {
        pending.delete(id);
        post({ type: 'abort', id });
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', stop, { once: true });
      const done = (): void => signal.removeEventListener('abort', stop);
      pending.set(id, {
        resolve: (value) => {
          done();
          resolve(value as T);
        },
        reject: (error) => {
          done();
          reject(error);
        },
        onMessage,
      });
      post(message(id));
    });
  };

  post({ type: 'data', train: options.data, evaluate: options.evaluationData ?? null });
  let backend: string;
  try {
    backend = await ready;
  } catch (error) {
    worker.terminate();
    throw error;
  }

  const train: TrainFunction = (request) => {
    const { signal, task, model, config, round, role, seed, broadcast, kept, vectors } = request;
    const sendable = { task, model, config, round, role, seed, broadcast, kept, vectors };
    return ask<TrainResult>(
      (id) => ({ type: 'train', id, request: sendable }),
      signal,
      (message) => {
        if (message.type === 'progress') request.progress(message.progress);
      },
    );
  };
  const evaluate: EvaluateFunction = ({ signal, ...request }) =>
    ask<EvaluationReport>(
      (id) => ({ type: 'evaluate', id, request }),
      signal,
      () => undefined,
    );

  return {
    train,
    ...(options.evaluationData ? { evaluate } : {}),
    backend,
    close: () => {
      worker.terminate();
      failAll(new Error('the training worker was closed'));
    },
  };
}

function errorOf(failure: WorkerFailure): Error {
  return 'body' in failure ? TributaryError.fromBody(failure.body) : new Error(failure.message);
}
