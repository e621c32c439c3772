/** The course of one assignment: fetch, compute, send. */
import { parse, TributaryError } from '../protocol/errors.js';
import { evaluationTaken, uploadAnswer } from '../protocol/http.js';
import type { Assignment } from '../protocol/messages.js';
import type { Role } from '../protocol/run.js';
import type { EvaluationReport, Receipt } from '../protocol/update.js';
import { evaluationReport } from '../protocol/update.js';
import { copyParams } from './checkpoint.js';
import type { Context } from './context.js';
import type { Digested } from './digest.js';
import { digested } from './digest.js';
import { HttpFailure } from './http.js';
import { keptKey } from './kept.js';
import type { Kept } from './kept.js';
import type { EvaluateFunction, Progress, TrainFunction, TrainRequest } from './types.js';
import { encodeUpdate } from './update.js';
import type { Work } from './work.js';

export interface Job {
  readonly assignment: Assignment;
  readonly clientId: string;
  readonly role: Role;
  readonly work: Work;
  readonly progress: (report: Progress) => void;
  /** Local work is done; its result has so many bytes. */
  readonly onSending: (bytes: number) => void;
}

/**
 * Trains and uploads until there is a receipt, whatever it says. What the result keeps is held as
 * pending; the coordinator's word on the weight, or the next training, settles it.
 *
 * @throws TributaryError where the coordinator answers without a receipt and would again; what `train`
 * throws; the reason of the work's signal.
 */
export async function trainAndUpload(
  job: Job,
  train: TrainFunction,
  kept: Kept,
  context: Context,
): Promise<Receipt> {
  const { assignment, work } = job;
  const { signal } = work;
  const task = await context.task(assignment.runId, signal);
  const model = await context.model(assignment.checkpoint, task, signal);
  const broadcast = await context.broadcast(assignment, task, signal);
  const result = await context.turns.take(async () => {
    const place = { key: keptKey(assignment.runId, job.clientId), assignmentId: assignment.id };
    const own = await kept.recall(place, (id) => context.givenWeight(id, signal));
    // A copy: a function that trains in place would make the delta zero and spoil the cache.
    return train({ ...requestOf(job), task, model: copyParams(model), broadcast, kept: own });
  }, signal);
  const update = await digested(encodeUpdate(assignment, task.model.tensors, model, result));
  signal.throwIfAborted();
  if (result.keep) await kept.hold(assignment.id, update.sha256, result.keep);
  work.beginSending();
  job.onSending(update.bytes.byteLength);
  const receipt = await upload(job, update, context);
  kept.recorded(receipt);
  return receipt;
}

function requestOf({
  assignment: { round, seed, vectors, training: config },
  role,
  work: { signal },
  progress,
}: Job): Omit<TrainRequest, 'task' | 'model'> {
  return { config, round, role, seed, vectors, signal, progress };
}

async function upload(
  { assignment, work }: Job,
  update: Digested,
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
