/** What the page and its training worker say to each other. */
import type { ErrorBody } from '../../protocol/errors.js';
import type { EvaluationReport } from '../../protocol/update.js';
import type { Dataset } from '../tfjs/dataset.js';
import type { EvaluateRequest, Progress, TrainRequest, TrainResult } from '../types.js';

export type ToWorker =
  | { readonly type: 'data'; readonly train: Dataset | null; readonly evaluate: Dataset | null }
  | { readonly type: 'train'; readonly id: number; readonly request: Sendable<TrainRequest> }
  | { readonly type: 'evaluate'; readonly id: number; readonly request: Sendable<EvaluateRequest> }
  | { readonly type: 'abort'; readonly id: number };

export type FromWorker =
  | { readonly type: 'ready'; readonly backend: string }
  | { readonly type: 'progress'; readonly id: number; readonly progress: Progress }
  | { readonly type: 'trained'; readonly id: number; readonly result: TrainResult }
  | { readonly type: 'evaluated'; readonly id: number; readonly report: EvaluationReport }
  | { readonly type: 'failed'; readonly id: number | null; readonly error: WorkerFailure };

/** A request without what cannot be cloned. */
export type Sendable<T> = Omit<T, 'signal' | 'progress'>;

/** An error across the boundary: an error of Tributary keeps its code. */
export type WorkerFailure = { readonly body: ErrorBody } | { readonly message: string };
