/** One connection to the coordinator: Socket.IO, authenticated, greeted. Never used again once lost. */
import type { Socket } from 'socket.io-client';
import { io } from 'socket.io-client';
import type { z } from 'zod';
import { errorBody, parse, TributaryError } from '../protocol/errors.js';
import type {
  Ack,
  Assignment,
  ClientToServer,
  Closed,
  Decline,
  Heartbeat,
  Hello,
  Progress,
  Question,
  RunState,
  ServerToClient,
  Weighed,
  Welcome,
} from '../protocol/messages.js';
import {
  assignment,
  closed,
  goodbye,
  question,
  runState,
  weighed,
  welcome as welcomeSchema,
} from '../protocol/messages.js';
import { orAborted } from './abort.js';
import type { Address } from './address.js';
import type { Environment } from './environment.js';
import { ConnectionLost } from './http.js';
import { Watchdog } from './watchdog.js';

/** A coordinator that takes longer to answer is taken for absent. Milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * This process, by chance, and how many connections it has made: a hello that was given up may arrive
 * after that of the next connection, and must not take its place.
 */
const origin = { process: Math.random().toString(36).slice(2, 12), connection: 0 };

/** Who is told of the coordinator's messages, each checked against its schema. */
export interface Inbox {
  assignment(message: Assignment): void;
  closed(message: Closed): void;
  weighed(message: Weighed): void;
  run(message: RunState): void;
  question(message: Question): void;
  /** A message of a kind or shape that this version does not know. */
  misunderstood(event: string, error: Error): void;
}

type CoordinatorSocket = Socket<ServerToClient, ClientToServer>;

export interface ConnectOptions {
  readonly address: Address;
  readonly token: string;
  readonly hello: Hello;
  readonly inbox: Inbox;
  /** Connections that failed before this one. */
  readonly attempt: number;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

export class Connection {
  /** Messages that came before the caller was ready for them; undefined afterwards. */
  #held: (() => void)[] | undefined = [];
  readonly #socket: CoordinatorSocket;
  /** Why the coordinator will end the connection, once it has said so. */
  #goodbye: TributaryError | undefined;
  /**
   * Resolves when the connection is gone, with the reason: the coordinator's own, or
   * {@link ConnectionLost}. Never rejects.
   */
  readonly lost: Promise<Error>;

  private constructor({ address, token, attempt, environment }: ConnectOptions) {
    this.#socket = io(address.base.origin, {
      path: address.socketPath,
      auth: { token, origin: { ...origin, connection: ++origin.connection } },
      ...environment.certificates,
      forceNew: true,
      // Socket.IO would reconnect after some losses and not after others: the session does it for all.
      reconnection: false,
      transports: transportsOf(attempt),
      tryAllTransports: true,
    });
    this.lost = new Promise((resolve) => {
      this.#socket.on('disconnect', (reason) => resolve(this.#lossOf(reason)));
    });
  }

  /**
   * Connects and says hello.
   *
   * Messages that the coordinator sends from now on are held until {@link deliver}: an assignment
   * may overtake the welcome, which says for whom it is and what else is open.
   *
   * @throws TributaryError where the coordinator refuses; {@link ConnectionLost}; the signal's reason.
   */
  static async open(
    options: ConnectOptions,
  ): Promise<{ connection: Connection; welcome: Welcome }> {
    options.signal.throwIfAborted();
    const watchdog = new Watchdog(options.environment, options.signal);
    watchdog.expect(CONNECT_TIMEOUT_MS);
    const connection = new Connection(options);
    try {
      connection.#listen(options.inbox);
      await orAborted(connection.#connected(), watchdog.signal);
      const welcome = await orAborted(connection.#greet(options.hello), watchdog.signal);
      return { connection, welcome };
    } catch (error) {
      connection.close();
      options.signal.throwIfAborted();
      if (watchdog.signal.aborted) throw new ConnectionLost('no answer to hello', { cause: error });
      throw error;
    } finally {
      watchdog.stop();
    }
  }

  /** Passes on the messages that were held, and from now on each as it comes. */
  deliver(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const pass of held) pass();
  }

  /** Lost where the connection is: the next report says more than this one. */
  progress(message: Progress): void {
    if (this.#socket.connected) this.#socket.emit('progress', message, ignoreAnswer);
  }

  /**
   * Lost where the connection is: there is another at once on the next one.
   *
   * @param onRefused Called where the coordinator says that this work is of no use any more.
   */
  heartbeat(message: Heartbeat, onRefused: (error: TributaryError) => void): void {
    if (!this.#socket.connected) return;
    this.#socket.emit('heartbeat', message, (answer: unknown) => {
      if (!isAck(answer) || answer.ok) return;
      const told = errorBody.safeParse(answer.error);
      if (told.success) onRefused(TributaryError.fromBody(told.data));
    });
  }

  /**
   * Lost where the connection is: the coordinator then lists the assignment in its next welcome.
   * Resolves when there is nothing to wait for any more: a message that was emitted just before the
   * end of a connection is lost with it.
   */
  async decline(message: Decline): Promise<void> {
    if (this.#socket.connected)
      await this.#socket.emitWithAck('decline', message).catch(ignoreAnswer);
  }

  close(): void {
    this.#socket.disconnect();
  }

  #listen(inbox: Inbox): void {
    const on = <T>(
      event: keyof ServerToClient,
      schema: z.ZodType<T>,
      take: (message: T) => void,
    ) => {
      const receive = (raw: unknown) => {
        try {
          take(parse(schema, raw, event));
        } catch (error) {
          inbox.misunderstood(event, error as Error);
        }
      };
      this.#socket.on(event, (raw: unknown) => {
        if (this.#held) this.#held.push(() => receive(raw));
        else receive(raw);
      });
    };
    on('assignment', assignment, (message) => inbox.assignment(message));
    on('closed', closed, (message) => inbox.closed(message));
    on('weighed', weighed, (message) => inbox.weighed(message));
    on('run', runState, (message) => inbox.run(message));
    on('question', question, (message) => inbox.question(message));
    // Not held: it explains why there will be no welcome.
    this.#socket.on('goodbye', (raw: unknown) => {
      const told = goodbye.safeParse(raw);
      if (told.success) this.#goodbye = TributaryError.fromBody(told.data);
    });
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.on('connect', resolve);
      this.#socket.on('connect_error', (error) => reject(refusalOf(error)));
      // A coordinator that goes down between the two handshakes makes this event and no other.
      this.#socket.on('disconnect', (reason) => reject(this.#lossOf(reason)));
    });
  }

  #lossOf(reason: string): Error {
    return this.#goodbye ?? new ConnectionLost(reason);
  }

  async #greet(hello: Hello): Promise<Welcome> {
    const answer: unknown = await this.#socket.emitWithAck('hello', hello).catch(() => {
      throw this.#lossOf('the connection was lost before the welcome');
    });
    if (!isAck(answer)) throw new TributaryError('protocol_version', 'hello: not an answer');
    if (!answer.ok) throw TributaryError.fromBody(parse(errorBody, answer.error, 'hello'));
    return parse(welcomeSchema, answer.value, 'welcome', 'protocol_version');
  }
}

/**
 * WebSocket first: long-polling needs a load balancer that keeps a client at one replica. Every other
 * attempt the other way round: there are proxies that swallow a WebSocket without an error.
 */
function transportsOf(attempt: number): string[] {
  return attempt % 2 === 0 ? ['websocket', 'polling'] : ['polling', 'websocket'];
}

/** Acknowledgements of what need not arrive. Without a callback the server would have none to call. */
function ignoreAnswer(): void {
  // Nothing depends on it.
}

function isAck(value: unknown): value is Ack<unknown> {
  return typeof value === 'object' && value !== null && 'ok' in value;
}

/** The coordinator puts its reason into `data`; everything else is the network. */
function refusalOf(error: Error & { data?: unknown }): Error {
  const told = errorBody.safeParse(error.data);
  if (told.success) return TributaryError.fromBody(told.data);
  return new ConnectionLost(error.message, { cause: error });
}
