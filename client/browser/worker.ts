/** The training worker: TF.js on wasm, off the page's thread, so that the page never freezes. */
import { TributaryError } from '../../protocol/errors.js';
import { prepareBrowserBackend } from '../tfjs/browser-backend.js';
import { tfjsEvaluator, tfjsTrainer } from '../tfjs/trainer.js';
import type { EvaluateFunction, TrainFunction } from '../types.js';
import type { FromWorker, ToWorker, WorkerFailure } from './worker-messages.js';

const scope = self as unknown as DedicatedWorkerGlobalScope;
const running = new Map<number, AbortController>();
let train: TrainFunction | null = null;
let evaluate: EvaluateFunction | null = null;

function send(message: FromWorker): void {
  scope.postMessage(message);
}

function failureOf(error: unknown): WorkerFailure {
  if (error instanceof TributaryError) return { body: error.toBody() };
  return { message: error instanceof Error ? error.message : String(error) };
}

async function prepare(message: Extract<ToWorker, { type: 'data' }>): Promise<void> {
  const backend = await prepareBrowserBackend();
  if (message.train) train = tfjsTrainer({ data: message.train });
  if (message.evaluate) evaluate = tfjsEvaluator({ data: message.evaluate });
  send({ type: 'ready', backend: backend.name });
}

async function work(message: Extract<ToWorker, { type: 'train' | 'evaluate' }>): Promise<void> {
  const { id } = message;
  const controller = new AbortController();
  running.set(id, controller);
  const { signal } = controller;
  try {
    if (message.type === 'train') {
      if (!train) throw new Error('the worker was given no training data');
      const progress = (report: { fraction: number; loss?: number }): void =>
        send({ type: 'progress', id, progress: report });
      send({ type: 'trained', id, result: await train({ ...message.request, signal, progress }) });
    } else {
      if (!evaluate) throw new Error('the worker was given no evaluation data');
      send({ type: 'evaluated', id, report: await evaluate({ ...message.request, signal }) });
    }
  } catch (error) {
    send({ type: 'failed', id, error: failureOf(error) });
  } finally {
    running.delete(id);
  }
}

scope.onmessage = ({ data: message }: MessageEvent<ToWorker>) => {
  switch (message.type) {
    case 'data':
      prepare(message).catch((error: unknown) => {
        send({ type: 'failed', id: null, error: failureOf(error) });
      });
      break;
    case 'train':
    case 'evaluate':
      void work(message);
      break;
    case 'abort':
      running.get(message.id)?.abort(new Error('the page stopped this work'));
      break;
  }
};
