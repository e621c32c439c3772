/** The course of one assignment: fetch, compute, send. */
import { parse, TributaryError } from '../protocol/errors.js';
import { evaluationTaken, uploadAnswer } from '../protocol/http.js';
import type { Assignment } from '../protocol/messages.js';
import type { Role } from '../protocol/run.js';
import type { EvaluationReport, Receipt } from '../protocol/update.js';
import { evaluationReport } from '../protocol/update.js';
import { copyParams } from './checkpoint.js';
import type { Context } from './context.js';
import { HttpFailure } from './http.js';
import type { EvaluateFunction, Progress, TrainFunction } from './types.js';
import { encodeUpdate } from './update.js';
import type { Work } from './work.js';

export interface Job {
  readonly assignment: Assignment;
  readonly role: Role;
  readonly work: Work;
  readonly progress: (report: Progress) => void;
  /** Local work is done; its result has so many bytes. */
  readonly onSending: (bytes: number) => void;
}

/**
 * Trains and uploads until there is a receipt, whatever it says.
 *
 * @throws TributaryError where the coordinator answers without a receipt and would again; what `train`
 * throws; the reason of the work's signal.
 */
export async function trainAndUpload(
  job: Job,
  train: TrainFunction,
  context: Context,
): Promise<Receipt> {
  const { assignment, role, work, progress } = job;
  const { round, seed, vectors, training: config } = assignment;
  const { signal } = work;
  const task = await context.task(assignment.runId, signal);
  const model = await context.model(assignment.checkpoint, task, signal);
  const result = await context.turns.take(() => {
    // A copy: a function that trains in place would make the delta zero and spoil the cache.
    const own = copyParams(model);
    return train({ task, model: own, config, round, role, seed, vectors, signal, progress });
  }, signal);
  const update = encodeUpdate(assignment, task.model.tensors, model, result);
  work.beginSending();
  job.onSending(update.byteLength);
  return upload(job, update, context);
}

async function upload(
  { assignment, work }: Job,
  update: Uint8Array<ArrayBuffer>,
  context: Context,
): Promise<Receipt> {
  try {
    const put = () => context.http.putBytes(assignment.uploadPath, update, uploadAnswer, work.wire);
    const { receipt } = await context.repeat('upload', put, work.signal);
    return receipt;
  } catch (error) {
    if (error instanceof HttpFailure && error.receipt) return error.receipt;
    throw error;
  }
}

/**
 * Evaluates and reports until the coordinator has answered.
 *
 * @throws as {@link trainAndUpload}.
 */
export async function evaluateAndReport(
  job: Job,
  evaluate: EvaluateFunction,
  context: Context,
): Promise<{ report: EvaluationReport; taken: boolean }> {
  const { assignment, work } = job;
  const { signal } = work;
  const task = await context.task(assignment.runId, signal);
  const model = await context.model(assignment.checkpoint, task, signal);
  const result = await context.turns.take(
    () => evaluate({ task, model: copyParams(model), round: assignment.round, signal }),
    signal,
  );
  const report = parse(evaluationReport, result, 'the result of evaluation', 'bad_facts');
  work.beginSending();
  job.onSending(JSON.stringify(report).length);
  const post = () =>
    context.http.postJson(assignment.uploadPath, report, evaluationTaken, work.wire);
  return { report, taken: (await context.repeat('evaluation', post, signal)).taken };
}

/** The refusal of an assignment that this client has no function for. */
export function cannot(kind: Assignment['kind']): TributaryError {
  return new TributaryError('bad_request', `this client was started without "${kind}"`);
}
