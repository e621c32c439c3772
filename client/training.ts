/** The course of one assignment: fetch, compute, send. */
import { parse, TributaryError } from '../protocol/errors.js';
import { evaluationTaken, givenWeight, uploadAnswer } from '../protocol/http.js';
import type { Assignment } from '../protocol/messages.js';
import type { Role } from '../protocol/run.js';
import type { EvaluationReport, Receipt } from '../protocol/update.js';
import { evaluationReport } from '../protocol/update.js';
import { copyParams } from './checkpoint.js';
import type { Context } from './context.js';
import { weightPath } from './context.js';
import type { Digested } from './digest.js';
import { digested } from './digest.js';
import { ofSite } from './failures.js';
import { HttpFailure } from './http.js';
import { keptKey } from './kept.js';
import type { Kept } from './kept.js';
import { outgoingReport, outgoingUpdate } from './outgoing.js';
import type { Clipped, SitePolicy } from './policy.js';
import type { EvaluateFunction, Progress, TrainFunction, TrainRequest } from './types.js';
import type { Work } from './work.js';

export interface Job {
  readonly assignment: Assignment;
  readonly clientId: string;
  readonly role: Role;
  readonly work: Work;
  readonly policy: SitePolicy;
  readonly progress: (report: Progress) => void;
  /** Local work is done; its result has so many bytes. */
  readonly onSending: (bytes: number, clipped?: Clipped | null) => void;
}

/**
 * Trains and uploads until there is a receipt, whatever it says. What the result keeps is held as
 * pending; the coordinator's word on the weight, or the next training, settles it.
 *
 * @throws TributaryError where the coordinator answers without a receipt and would again; SiteFailure
 * where `train` throws; the reason of the work's signal.
 */
export async function trainAndUpload(
  job: Job,
  train: TrainFunction,
  kept: Kept,
  context: Context,
): Promise<Receipt> {
  const { assignment, work, policy } = job;
  const { signal } = work;
  const task = await context.task(assignment.runId, signal);
  const model = await context.model(assignment.checkpoint, task, signal);
  const broadcast = await context.broadcast(assignment, task, signal);
  const result = await context.turns.take(async () => {
    const place = { key: keptKey(assignment.runId, job.clientId), assignmentId: assignment.id };
    const own = await kept.recall(place, (id) => context.givenWeight(id, signal));
    // A copy: a function that trains in place would make the delta zero and spoil the cache.
    const request = { ...requestOf(job), task, model: copyParams(model), broadcast, kept: own };
    return ofSite(async () => train(request));
  }, signal);
  const outgoing = outgoingUpdate(assignment, task.model.tensors, model, result, policy);
  const update = await digested(outgoing.bytes);
  signal.throwIfAborted();
  if (result.keep) await kept.hold(assignment.id, update.sha256, result.keep);
  work.beginSending();
  job.onSending(update.bytes.byteLength, outgoing.clipped);
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
    const lost = await lostReceipt(assignment, update, work, context);
    if (lost) return lost;
    throw error;
  }
}

/**
 * The work was stopped after its update may have arrived, and before the answer did: the coordinator
 * is asked once, within the grace, which upload it has. Only where it is this one, sending it again
 * brings the receipt; a round that closed must not be sent megabytes that it has no use for.
 */
async function lostReceipt(
  { id, uploadPath }: Assignment,
  update: Digested,
  { mayAsk, wire }: Work,
  { http }: Context,
): Promise<Receipt | undefined> {
  if (!mayAsk) return undefined;
  try {
    const { sha256 } = await http.getJson(weightPath(id), givenWeight, wire);
    if (sha256 !== update.sha256) return undefined;
    return (await http.putBytes(uploadPath, update, uploadAnswer, wire)).receipt;
  } catch (error) {
    return error instanceof HttpFailure ? error.receipt : undefined;
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
    () =>
      ofSite(async () =>
        evaluate({ task, model: copyParams(model), round: assignment.round, signal }),
      ),
    signal,
  );
  const whole = parse(evaluationReport, result, 'the result of evaluation', 'bad_facts');
  const report = outgoingReport(whole, job.policy);
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
