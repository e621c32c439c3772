/** As whom `tributary join` takes part: with a token of the operator's, or one that it got by itself. */
import type { Environment } from '../../../client/environment.js';
import { enrol, forgetToken } from '../../../client/enrol.js';
import { fetchTask } from '../../../client/fetch-task.js';
import type { FetchTaskOptions } from '../../../client/fetch-task.js';
import type { JoinOptions } from '../../../client/join.js';
import type { ClientStorage } from '../../../client/types.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { JoinCommandOptions } from '../join.js';
import { stateFolder } from './state.js';

/** `token`, or `run` with its `storage`, which gives the token that was enrolled. */
export type Credentials = Pick<JoinOptions, 'token' | 'run' | 'name' | 'storage'>;

/** @throws TributaryError `bad_request`, `unauthorized`, before anything is asked of a coordinator. */
export function credentialsOf({ token, run, name, state }: JoinCommandOptions): Credentials {
  const storage = state === undefined ? undefined : stateFolder(state);
  if (run !== undefined) {
    // Of a variable nothing is said: it may be there for another run.
    if (token !== undefined) refuse('--run: the token names it already, so leave one of them out');
    return { run, name, storage: storage ?? storageInMemory() };
  }
  if (name !== undefined) refuse('--name: only with --run, for a client that enrols itself');
  const given = token ?? process.env.TRIBUTARY_TOKEN;
  if (given) return { token: given, storage };
  const message =
    'no token: give --token, or set TRIBUTARY_TOKEN; or --run ID where the run is open';
  throw new TributaryError('unauthorized', message);
}

type Waiting = Pick<FetchTaskOptions, 'url' | 'signal' | 'onWaiting'>;

/** Enrols where it must. @throws as `enrol` and `fetchTask`. */
export async function fetchOwnTask(
  { token, run, name, storage }: Credentials,
  waiting: Waiting,
  environment?: Environment,
): ReturnType<typeof fetchTask> {
  if (run === undefined) return fetchTask({ ...waiting, token: token ?? '' }, environment);
  const guest = { run, name, storage };
  const own = await enrol({ ...waiting, ...guest }, environment);
  try {
    return await fetchTask({ ...waiting, token: own }, environment);
  } catch (error) {
    // The next start enrols again.
    if (error instanceof TributaryError && error.code === 'unauthorized') await forgetToken(guest);
    throw error;
  }
}

/** For one process: `join` must find the token that it was enrolled with. */
function storageInMemory(): ClientStorage {
  const files = new Map<string, Uint8Array>();
  return {
    load: (key) => Promise.resolve(files.get(key) ?? null),
    save: (key, bytes) => Promise.resolve(void files.set(key, bytes)),
    remove: (key) => Promise.resolve(void files.delete(key)),
  };
}

function refuse(message: string): never {
  throw new TributaryError('bad_request', message);
}
