/** What a token is for, before anything is joined: to look at the task, or hold data against it. */
import type { Identity } from '../protocol/http.js';
import { identity } from '../protocol/http.js';
import type { Task } from '../protocol/model.js';
import { task as taskSchema } from '../protocol/model.js';
import { parseAddress } from './address.js';
import type { Environment } from './environment.js';
import { hostEnvironment } from './environment.js';
import { CoordinatorHttp } from './http.js';

export interface FetchTaskOptions {
  readonly url: string;
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The task of the run that the token is for, and whom the token names. One attempt, no retries.
 *
 * @throws TributaryError `unauthorized`, `bad_request`; an error where nobody answers.
 */
export async function fetchTask(
  { url, token, signal = new AbortController().signal }: FetchTaskOptions,
  environment: Environment = hostEnvironment,
): Promise<{ readonly task: Task; readonly identity: Identity }> {
  const http = new CoordinatorHttp(parseAddress(url), token, environment);
  const who = await http.getJson('/v1/me', identity, signal);
  const path = `/v1/runs/${encodeURIComponent(who.runId)}/task`;
  return { identity: who, task: await http.getJson(path, taskSchema, signal) };
}
