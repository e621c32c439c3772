/** What all parts of one participation share. */
import { TributaryError } from '../protocol/errors.js';
import type { GivenWeight } from '../protocol/http.js';
import { givenWeight } from '../protocol/http.js';
import type { Assignment } from '../protocol/messages.js';
import { task as taskSchema } from '../protocol/model.js';
import type { Task } from '../protocol/model.js';
import { fetchVerified, readParams, readVectors } from './checkpoint.js';
import type { CheckpointReference } from './checkpoint.js';
import type { Environment } from './environment.js';
import type { ClientEvent } from './events.js';
import type { CoordinatorHttp } from './http.js';
import { sharedTensors } from './params.js';
import { retry } from './retry.js';
import { SharedCache } from './shared-cache.js';
import { Turns } from './turns.js';
import type { Params, Vectors } from './types.js';

/** The version that is trained and the newer one that is evaluated meanwhile. */
const MODELS_KEPT = 2;

export class Context {
  /** Training, evaluation and the oracle's answers, one at a time. */
  readonly turns = new Turns();
  readonly #tasks = new SharedCache<Task>(1);
  readonly #models = new SharedCache<Params>(MODELS_KEPT);

  constructor(
    readonly http: CoordinatorHttp,
    readonly environment: Environment,
    readonly report: (event: ClientEvent) => void,
  ) {}

  /** Repeats what fails in passing, and reports it. */
  repeat<T>(
    what: string,
    attempt: () => Promise<T>,
    signal: AbortSignal,
    worthRepeating?: (error: unknown) => boolean,
  ): Promise<T> {
    return retry(attempt, {
      environment: this.environment,
      signal,
      onRetry: (error, delayMs) => this.report({ type: 'retry', what, error, delayMs }),
      ...(worthRepeating ? { worthRepeating } : {}),
    });
  }

  /** The run's task, fetched once. */
  task(runId: string, signal: AbortSignal): Promise<Task> {
    const path = `/v1/runs/${encodeURIComponent(runId)}/task`;
    const load = (wanted: AbortSignal) =>
      this.repeat('task', () => this.http.getJson(path, taskSchema, wanted), wanted);
    return this.#tasks.get(runId, load, signal);
  }

  /** A checkpoint, fetched once for training and evaluation together. Not to be written to. */
  model(checkpoint: CheckpointReference, task: Task, signal: AbortSignal): Promise<Params> {
    const load = async (wanted: AbortSignal) =>
      readParams(await this.verified('checkpoint', checkpoint, wanted), task.model.tensors);
    return this.#models.get(checkpoint.sha256, load, signal);
  }

  /** What the rule sends down with the model of an assignment; empty where that is nothing. */
  async broadcast(
    { broadcast }: Pick<Assignment, 'broadcast'>,
    task: Task,
    signal: AbortSignal,
  ): Promise<Vectors> {
    if (!broadcast) return {};
    const file = await this.verified('broadcast', broadcast, signal);
    return readVectors(file, sharedTensors(task.model.tensors));
  }

  /** Which upload the coordinator has for an assignment of this client, and what it was given. */
  async givenWeight(assignmentId: string, signal: AbortSignal): Promise<GivenWeight> {
    const ask = () => this.http.getJson(weightPath(assignmentId), givenWeight, signal);
    try {
      return await this.repeat('weight', ask, signal);
    } catch (error) {
      // Of a coordinator that was set up anew since.
      if (error instanceof TributaryError && error.code === 'assignment_unknown')
        return { weight: null, sha256: null };
      throw error;
    }
  }

  /** A file that has the hash that was announced for it. */
  verified(
    what: string,
    file: Parameters<typeof fetchVerified>[1],
    signal: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return fetchVerified(
      this.http,
      file,
      (attempt, worthRepeating) => this.repeat(what, attempt, signal, worthRepeating),
      signal,
    );
  }
}

/** Where the coordinator says what became of an assignment of this client. */
export function weightPath(assignmentId: string): string {
  return `/v1/assignments/${encodeURIComponent(assignmentId)}/weight`;
}
