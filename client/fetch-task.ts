/** What a token is for, before anything is joined: to look at the task, or hold data against it. */
import { TributaryError } from '../protocol/errors.js';
import type { Identity } from '../protocol/http.js';
import { identity } from '../protocol/http.js';
import type { Task } from '../protocol/model.js';
import { task as taskSchema } from '../protocol/model.js';
import { Coordinators } from './coordinators.js';
import type { Environment } from './environment.js';
import { hostEnvironment } from './environment.js';
import { CoordinatorHttp } from './http.js';
import { onceEach, retry } from './retry.js';

export interface FetchTaskOptions {
  readonly url: string | readonly string[];
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
  /** Where it is given, a site that is not approved yet waits until it is, and each wait is told here. */
  readonly onWaiting?: ((error: Error, delayMs: number) => void) | undefined;
}

/**
 * The task of the run that the token is for, and whom the token names. One attempt at each coordinator.
 *
 * @throws TributaryError `unauthorized`, `not_approved`, `bad_request`; an error where nobody answers;
 * the signal's reason.
 */
export async function fetchTask(
  { url, token, signal = new AbortController().signal, onWaiting }: FetchTaskOptions,
  environment: Environment = hostEnvironment,
): Promise<{ readonly task: Task; readonly identity: Identity }> {
  const coordinators = new Coordinators(url);
  const http = new CoordinatorHttp(coordinators, token, environment);
  const fetch = async () => {
    const who = await http.getJson('/v1/me', identity, signal);
    const path = `/v1/runs/${encodeURIComponent(who.runId)}/task`;
    return { identity: who, task: await http.getJson(path, taskSchema, signal) };
  };
  const attempt = () => onceEach(coordinators.size, fetch);
  if (!onWaiting) return attempt();
  return retry(attempt, { environment, signal, onRetry: onWaiting, worthRepeating: isUnapproved });
}

function isUnapproved(error: unknown): boolean {
  return error instanceof TributaryError && error.code === 'not_approved';
}
