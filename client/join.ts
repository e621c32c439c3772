/** Taking part in a run, from the first connection until the run is over. */
import { parse, TributaryError } from '../protocol/errors.js';
import type { Hello } from '../protocol/messages.js';
import { hello as helloSchema, PROTOCOL_VERSION } from '../protocol/messages.js';
import { orAborted, sleep } from './abort.js';
import { parseAddress } from './address.js';
import { Connection } from './connection.js';
import { Context } from './context.js';
import type { Environment } from './environment.js';
import { hostEnvironment } from './environment.js';
import type { ClientEvent, JoinSummary } from './events.js';
import { CoordinatorHttp } from './http.js';
import type { ClientOracle } from './oracle.js';
import type { Ending } from './participation.js';
import { Participation } from './participation.js';
import { keepConnected } from './session.js';
import type { ClientStorage, EvaluateFunction, TrainFunction } from './types.js';
import { SDK_VERSION } from './version.js';

export interface JoinOptions {
  /** Of the coordinator, with the path prefix where it stands behind a proxy: `https://host/fl/`. */
  readonly url: string;
  /** Names this client and its role; the operator enrols it. */
  readonly token: string;
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
 * @returns once the run is completed, stopped or failed, or the caller left.
 * @throws TributaryError where the coordinator refuses for good (`unauthorized`, `forbidden`,
 * `run_over`, `protocol_version`, …), or `bad_request` for options that cannot work.
 */
export async function join(
  options: JoinOptions,
  environment: Environment = hostEnvironment,
): Promise<JoinSummary> {
  const address = parseAddress(options.url);
  const token = checkToken(options.token);
  const hello = helloOf(options);
  const http = new CoordinatorHttp(address, token, environment);
  const context = new Context(http, environment, reporter(options.onEvent));
  const participation = new Participation(options, context);
  const session = new AbortController();
  const { signal } = session;
  const connected = keepConnected({
    open: (attempt) =>
      Connection.open({
        address,
        token,
        hello,
        inbox: participation,
        attempt,
        environment,
        signal,
      }),
    onOpen: (connection, welcome) => participation.welcomed(connection, welcome),
    onLost: (error, delayMs) => context.report({ type: 'disconnected', error, delayMs }),
    environment,
    signal,
  });
  try {
    const ending = await untilOver(participation, connected, options.signal);
    await windDown(participation, context, ending);
    await participation.forget(ending);
    return participation.summary(ending);
  } finally {
    session.abort();
    void participation.windDown('the client has left');
    participation.dispose();
  }
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
  const why = status === 'left' ? 'the client leaves' : `the run is ${status}`;
  const quiet = participation.windDown(why).then(() => context.turns.idle());
  await Promise.race([quiet, sleep(LEAVE_MS, enough.signal, context.environment)]).finally(() =>
    enough.abort(),
  );
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
function checkToken(token: string): string {
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
