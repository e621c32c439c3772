/** A coordinator's REST side as typed calls: what the commands use. */
import type { z } from 'zod';
import { createHash } from 'node:crypto';
import type { Environment } from '../../client/environment.js';
import { hostEnvironment } from '../../client/environment.js';
import { TributaryError, errorKinds } from '../../protocol/errors.js';
import type {
  Enrolled,
  EventList,
  LedgerKey,
  RoundDetail,
  RunDetail,
  RunSummary,
} from '../../protocol/http.js';
import {
  SHA256_HEADER,
  blobStored,
  eventList,
  failure,
  ledgerKey,
  roundDetail,
  runDetail,
  runList,
  runSummary,
} from '../../protocol/http.js';
import type { Role, RunSpecInput } from '../../protocol/run.js';
import type { OperatingApi } from './operating-api.js';
import { operatingCalls, pathOf } from './operating-api.js';
import { certificateProblem } from './tls.js';

export interface Api extends OperatingApi {
  readonly url: string;
  createRun(spec: RunSpecInput): Promise<RunSummary>;
  runs(): Promise<RunSummary[]>;
  /** With its newest 100 rounds, or 100 from a place on (`roundsInAll` says how many there are). */
  run(id: string, from?: number): Promise<RunDetail>;
  round(id: string, round: number): Promise<RoundDetail>;
  /** Events of a ledger from a sequence number on, so many or 100 at most; of the coordinator's own: null. */
  eventPage(id: string | null, from: number, limit: number): Promise<EventList['events']>;
  /** What the ledgers are signed with; null where they are not signed. */
  ledgerKey(): Promise<LedgerKey | null>;
  /** The round under way ends, and no other begins until the run is resumed. */
  pause(id: string): Promise<RunSummary>;
  resume(id: string): Promise<RunSummary>;
  stop(id: string): Promise<RunSummary>;
  /** As `addSite`, with a token that does not expire. */
  enrol(id: string, name: string, role: Role): Promise<Enrolled>;
  /** Uploads bytes; the answer is their sha256. */
  putBlob(bytes: Uint8Array): Promise<string>;
  /** A model as safetensors; `newest` for the last one. `average`: the run's moving average then. */
  model(
    id: string,
    version: number | 'newest',
    options?: { readonly average?: boolean },
  ): Promise<Uint8Array>;
}

/**
 * Without a token, only what anybody may ask.
 * @throws TributaryError with the code that the coordinator answered.
 */
export function connectApi(
  url: string,
  operatorToken: string | null,
  { fetch }: Pick<Environment, 'fetch'> = hostEnvironment,
): Api {
  const base = url.replace(/\/+$/, '');

  const send = async (
    method: string,
    path: string,
    body?: BodyInit,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Response> => {
    let response: Response;
    try {
      response = await fetch(new URL(`${base}/v1${path}`), {
        method,
        ...(body === undefined ? {} : { body }),
        headers: {
          ...(operatorToken !== null && { authorization: `Bearer ${operatorToken}` }),
          ...headers,
        },
      });
    } catch (cause) {
      const message = `no coordinator answers at ${base}${certificateProblem(cause)}`;
      throw new TributaryError('unreachable', message, undefined, { cause });
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  };

  const call = async <T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    body?: object,
  ): Promise<T> => {
    const response = body
      ? await send(method, path, JSON.stringify(body), { 'content-type': 'application/json' })
      : await send(method, path);
    return readAnswer(schema, response, base);
  };

  const operating = operatingCalls(call);
  return {
    ...operating,
    url: base,
    createRun: (spec) => call(runSummary, 'POST', '/runs', spec),
    runs: async () => (await call(runList, 'GET', '/runs')).runs,
    run: (id, from) => {
      const page = from === undefined ? '' : `?from=${from}`;
      return call(runDetail, 'GET', `${pathOf(id)}${page}`);
    },
    round: (id, round) => call(roundDetail, 'GET', `${pathOf(id)}/rounds/${round}`),
    eventPage: async (id, from, limit) => {
      const path = id === null ? '/events' : `${pathOf(id)}/events`;
      return (await call(eventList, 'GET', `${path}?from=${from}&limit=${limit}`)).events;
    },
    ledgerKey: async () => {
      try {
        return await call(ledgerKey, 'GET', '/ledger-key');
      } catch (error) {
        if (error instanceof TributaryError && error.code === 'not_found') return null;
        throw error;
      }
    },
    pause: (id) => call(runSummary, 'POST', `${pathOf(id)}/pause`),
    resume: (id) => call(runSummary, 'POST', `${pathOf(id)}/resume`),
    stop: (id) => call(runSummary, 'POST', `${pathOf(id)}/stop`),
    enrol: (id, name, role) => operating.addSite(id, { name, role }),
    async putBlob(bytes) {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const response = await send('PUT', `/blobs/${sha256}`, bytes as Uint8Array<ArrayBuffer>, {
        [SHA256_HEADER]: sha256,
        'content-type': 'application/octet-stream',
      });
      return (await readAnswer(blobStored, response, base)).sha256;
    },
    async model(id, version, { average = false } = {}) {
      const path = `${pathOf(id)}/checkpoints/${version}`;
      const response = await send('GET', average ? `${path}/average` : path);
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}

/** Some other server may be there, and answer whatever it is asked. */
async function readAnswer<T>(schema: z.ZodType<T>, response: Response, base: string): Promise<T> {
  try {
    return schema.parse(await response.json());
  } catch (cause) {
    const message = `${base} answers, and not as a coordinator of this version does`;
    throw new TributaryError('unreachable', message, undefined, { cause });
  }
}

async function errorOf(response: Response): Promise<TributaryError> {
  const text = await response.text();
  try {
    return TributaryError.fromBody(failure.parse(JSON.parse(text)).error);
  } catch {
    const message = `the answer was HTTP ${response.status}, and not from a coordinator: ${text.slice(0, 200)}`;
    return new TributaryError('internal', message);
  }
}

/** What a person reads when a command fails: what is wrong, and what to do next. */
export function explain(error: unknown): string {
  if (error instanceof TributaryError) {
    return `${error.message}\n  ${errorKinds[error.code].help} (${error.code})`;
  }
  return error instanceof Error ? error.message : String(error);
}
