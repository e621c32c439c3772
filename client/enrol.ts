/** A client that enrols itself, in a run that takes whoever comes; and comes back as the same one. */
import { bytesToHex } from '@noble/hashes/utils.js';
import { parse, TributaryError } from '../protocol/errors.js';
import { enrolled, joining } from '../protocol/http.js';
import { Coordinators } from './coordinators.js';
import type { Environment } from './environment.js';
import { hostEnvironment } from './environment.js';
import { CoordinatorHttp } from './http.js';
import { onceEach } from './retry.js';
import type { ClientStorage } from './types.js';

export interface Guest {
  /** Id of the run. */
  readonly run: string;
  /** Without one the coordinator gives the client a name. */
  readonly name?: string | undefined;
  /** Where the token is kept; without it the next process is another client. */
  readonly storage?: ClientStorage | undefined;
}

export interface EnrolOptions extends Guest {
  readonly url: string | readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * The token of this client in a run that is `open`, or that approves who comes: the one that is kept,
 * or a new one. `join` does the same where it is given a run and no token. One attempt at each
 * coordinator.
 *
 * @throws TributaryError `forbidden` where the operator gives the tokens, `name_taken`,
 * `run_not_found`, `run_over`; what the storage throws; the signal's reason.
 */
export function enrol(
  { url, signal = new AbortController().signal, ...guest }: EnrolOptions,
  environment: Environment = hostEnvironment,
): Promise<string> {
  const coordinators = new Coordinators(url);
  const http = new CoordinatorHttp(coordinators, null, environment);
  const repeat: Repeat = (attempt) => onceEach(coordinators.size, attempt);
  return tokenOf(checkGuest(guest), http, repeat, signal);
}

type Repeat = <T>(attempt: () => Promise<T>) => Promise<T>;

/** @throws TributaryError `bad_request`. */
export function checkGuest({ run, name, storage }: Guest): Guest {
  parse(joining, { name }, 'join');
  // Ids of runs are longer than names, and made of the same characters.
  if (/^[A-Za-z0-9._-]{1,128}$/.test(run)) return { run, name, storage };
  throw new TributaryError('bad_request', `run: "${run}" is not the id of a run`);
}

/** What a guest keeps: a secret of its own to enrol with, and the token that it got for it. */
interface Kept {
  readonly key: string;
  readonly token: string | undefined;
}

/**
 * The secret is kept first, and sent along: where the answer is lost, or the client dies before it has
 * kept the token, the same call again brings it.
 *
 * @param http Carries no token yet.
 */
export async function tokenOf(
  guest: Guest,
  http: CoordinatorHttp,
  repeat: Repeat,
  signal: AbortSignal,
): Promise<string> {
  const { run, name } = guest;
  const kept = await load(guest);
  if (kept?.token !== undefined) return kept.token;
  const key = kept?.key ?? bytesToHex(globalThis.crypto.getRandomValues(new Uint8Array(32)));
  if (!kept) await save(guest, key);
  const path = `/v1/runs/${encodeURIComponent(run)}/join`;
  const { token } = await repeat(() => http.postJson(path, { name, key }, enrolled, signal));
  await save(guest, `${key} ${token}`);
  return token;
}

/**
 * The coordinator does not know the token: it was set up anew, or is one of several that serves
 * something else. The next start enrols by the same secret, and where it is known still, as the same
 * client.
 */
export async function forgetToken(guest: Guest): Promise<void> {
  const kept = await load(guest);
  if (kept) await save(guest, kept.key);
}

/** The run is over. */
export async function forgetGuest(guest: Guest): Promise<void> {
  await guest.storage?.remove(tokenKey(guest));
}

async function load(guest: Guest): Promise<Kept | undefined> {
  const bytes = await guest.storage?.load(tokenKey(guest));
  const text = bytes ? new TextDecoder().decode(bytes) : '';
  const [key = '', token]: readonly (string | undefined)[] = text.split(' ');
  return /^[0-9a-f]{64}$/.test(key) ? { key, token } : undefined;
}

async function save(guest: Guest, text: string): Promise<void> {
  await guest.storage?.save(tokenKey(guest), new TextEncoder().encode(text));
}

function tokenKey({ run, name = '' }: Guest): string {
  return `${run}.${name}.token`;
}
