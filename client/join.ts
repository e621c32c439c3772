/** Taking part in a run, from the first connection until the run is over. */
import { parse, TributaryError } from '../protocol/errors.js';
import type { Hello } from '../protocol/messages.js';
import { hello as helloSchema, PROTOCOL_VERSION } from '../protocol/messages.js';
import { orAborted, sleep } from './abort.js';
import { Connection } from './connection.js';
import { Consent } from './consent.js';
import { Context } from './context.js';
import { Coordinators } from './coordinators.js';
import type { Guest } from './enrol.js';
import { checkGuest, forgetGuest, forgetToken, tokenOf } from './enrol.js';
import type { Environment } from './environment.js';
import { hostEnvironment } from './environment.js';
import type { ClientEvent, JoinSummary } from './events.js';
import { CoordinatorHttp } from './http.js';
import type { ClientOracle } from './oracle.js';
import type { Ending } from './participation.js';
import { isOver, Participation } from './participation.js';
import type { SitePolicy } from './policy.js';
import { sitePolicy } from './policy.js';
import type { Offer, ReviewFunction } from './review.js';
import { keepConnected } from './session.js';
import type { ClientStorage, EvaluateFunction, TrainFunction } from './types.js';
import { SDK_VERSION } from './version.js';

export interface JoinOptions {
  /**
   * Of the coordinator, with the path prefix where it stands behind a proxy: `https://host/fl/`. Of
   * several that serve the same run, the client goes to the one that leads, and on to the next one
   * where that does not answer.
   */
  readonly url: string | readonly string[];
  /** Names this client and its role; the operator enrols it. In its place, `run`. */
  readonly token?: string | undefined;
  /**
   * Id of a run that is open, or that approves who comes: the client enrols itself, and keeps its
   * token in `storage`, so that it comes back as the same client.
   */
  readonly run?: string | undefined;
  /** Of a client that enrols itself; without it, it is given one. */
  readonly name?: string | undefined;
  /** Trains in the rounds to which this client is invited. Without it the client trains in none. */
  readonly train?: TrainFunction | undefined;
  /** Judges committed models on local data. */
  readonly evaluate?: EvaluateFunction | undefined;
  /** Answers loss and gradient on local data, for rules that ask a target client. */
  readonly oracle?: ClientOracle | undefined;
  /**
   * Where the client keeps what its training wants to find again in the next round (`keep` of its
   * result), until the run is over. Without it that is lost with the process, and the client starts
   * anew.
   */
  readonly storage?: ClientStorage | undefined;
  /**
   * Asked before the client connects, and again before it trains where what would be run or sent has
   * changed. What is refused is declined, and `join` resolves with the status `refused`.
   */
  readonly review?: ReviewFunction | undefined;
  /** What the site allows; applied before anything leaves. */
  readonly policy?: SitePolicy | undefined;
  /** Where this client computes, such as `wasm`; shown to the operator. At most 8 names. */
  readonly backends?: readonly string[] | undefined;
  /** Leaves the run: aborts local work, and `join` resolves with the status `left`. */
  readonly signal?: AbortSignal | undefined;
  /** Watches. What it throws is printed and otherwise ignored. */
  readonly onEvent?: ((event: ClientEvent) => void) | undefined;
}

/** How long the end waits for local functions that ignore their signal. Milliseconds. */
const LEAVE_MS = 5_000;

/**
 * Takes part in the run that the token is for, in Node or in a browser. Trains and evaluates when
 * the coordinator asks for it, and reconnects for as long as the run goes on.
 *
 * @param environment For tests and unusual hosts.
 * @returns once the run is completed, stopped or failed, the caller left, or the site refused.
 * @throws TributaryError where the coordinator refuses for good (`unauthorized`, `revoked`,
 * `token_expired`, `forbidden`, `run_over`, `protocol_version`, …), or `bad_request` for options that
 * cannot work.
 */
export async function join(
  options: JoinOptions,
  environment: Environment = hostEnvironment,
): Promise<JoinSummary> {
  const terms = { review: options.review, policy: checkPolicy(options.policy) };
  const guest = guestOf(options);
  const coordinators = new Coordinators(options.url);
  const token = guest ? null : checkToken(options.token);
  const http = new CoordinatorHttp(coordinators, token, environment);
  const context = new Context(http, environment, reporter(options.onEvent));
  const hello = helloOf(options);
  const consent = new Consent(terms, offerOf(options), context);
  const participation = new Participation(options, consent, context);
  const session = new AbortController();
  const parts = { coordinators, context, consent, participation, hello, signal: session.signal };
  try {
    const connected = takePart(parts, guest);
    const ending = await untilOver(participation, connected, options.signal);
    await windDown(participation, context, ending);
    await participation.forget(ending);
    if (guest && isOver(ending)) await forgetGuest(guest);
    return participation.summary(ending);
  } catch (error) {
    if (guest && isUnknown(error)) await forgetToken(guest);
    throw error;
  } finally {
    session.abort();
    void participation.windDown('the client has left', true);
    participation.dispose();
  }
}

interface Parts {
  readonly coordinators: Coordinators;
  readonly context: Context;
  readonly consent: Consent;
  readonly participation: Participation;
  readonly hello: Hello;
  readonly signal: AbortSignal;
}

/** Enrols where it must, asks the site, and stays connected: if only to say that it refused. */
async function takePart(parts: Parts, guest: Guest | undefined): Promise<never> {
  const { coordinators, context, consent, participation, signal } = parts;
  const { http, environment } = context;
  const repeat = <T>(attempt: () => Promise<T>) => context.repeat('enrolment', attempt, signal);
  if (guest) http.token = checkToken(await tokenOf(guest, http, repeat, signal));
  await consent.preview(signal);
  const refused = consent.refusal !== null;
  const hello = refused ? onlyWatching(parts.hello) : parts.hello;
  if (refused) participation.refused();
  const token = http.token ?? '';
  const inbox = participation;
  return keepConnected({
    coordinators,
    open: (address, attempt) =>
      Connection.open({ address, token, hello, inbox, attempt, environment, signal }),
    onOpen: (connection, welcome) => participation.welcomed(connection, welcome),
    receipts: () => participation.receipts,
    onLost: (error, delayMs) => context.report({ type: 'disconnected', error, delayMs }),
    environment,
    signal,
  });
}

/** Whoever cannot be asked for anything is not waited for. */
function onlyWatching(hello: Hello): Hello {
  return { ...hello, trains: false, evaluates: false, oracleBatches: 0 };
}

function offerOf({ train, oracle }: JoinOptions): Offer {
  return { trains: train !== undefined, answers: oracle !== undefined };
}

function guestOf({ token, run, name, storage }: JoinOptions): Guest | undefined {
  if (token !== undefined && run !== undefined)
    throw new TributaryError('bad_request', 'run: the token names it already, so leave it out');
  if (run !== undefined) return checkGuest({ run, name, storage });
  if (name === undefined) return undefined;
  throw new TributaryError('bad_request', 'name: only for a client that enrols itself, in a "run"');
}

function checkPolicy(policy: SitePolicy | undefined): SitePolicy | undefined {
  return policy && parse(sitePolicy, policy, 'policy');
}

function isUnknown(error: unknown): boolean {
  return error instanceof TributaryError && error.code === 'unauthorized';
}

async function untilOver(
  participation: Participation,
  connected: Promise<never>,
  signal: AbortSignal | undefined,
): Promise<Ending> {
  const over = Promise.race([participation.ended, connected]);
  if (!signal) return over;
  try {
    return await orAborted(over, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    return { status: 'left', reason: null };
  }
}

/** Waits for receipts that are on their way and for local functions to return, but not for ever. */
async function windDown(
  participation: Participation,
  context: Context,
  { status }: Ending,
): Promise<void> {
  const enough = new AbortController();
  const why = whyOver(status);
  const quiet = participation.windDown(why, status === 'left').then(() => context.turns.idle());
  await Promise.race([quiet, sleep(LEAVE_MS, enough.signal, context.environment)]).finally(() =>
    enough.abort(),
  );
}

function whyOver(status: Ending['status']): string {
  if (status === 'left') return 'the client leaves';
  return status === 'refused' ? 'the site refused' : `the run is ${status}`;
}

function helloOf({ train, evaluate, oracle, backends }: JoinOptions): Hello {
  const message = {
    protocolVersion: PROTOCOL_VERSION,
    sdkVersion: SDK_VERSION,
    backends,
    trains: train !== undefined,
    evaluates: evaluate !== undefined,
    oracleBatches: oracle?.batches ?? 0,
  };
  return parse(helloSchema, message, 'options');
}

/** A line break from a file or a shell would make every request fail as if the network were gone. */
function checkToken(token = ''): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new TributaryError('bad_request', 'token: empty, or with spaces or line breaks in it');
}

function reporter(onEvent: JoinOptions['onEvent']): (event: ClientEvent) => void {
  return (event) => {
    try {
      onEvent?.(event);
    } catch (error) {
      // A watcher with a bug must not end the training that it watches.
      console.error('onEvent failed:', error);
    }
  };
}
