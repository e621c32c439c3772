/** A client by hand: a socket whose messages are kept, and that can be waited for. */
import type { Socket } from 'socket.io-client';
import { io } from 'socket.io-client';
import { afterEach } from 'vitest';
import type {
  Ack,
  Assignment,
  Hello,
  RunState,
  ServerToClient,
  Welcome,
} from '../../../protocol/messages.js';
import { PROTOCOL_VERSION } from '../../../protocol/messages.js';
import { isLive } from '../../../protocol/run.js';

type MessageOf<E extends keyof ServerToClient> = Parameters<ServerToClient[E]>[0];

/** Names that the client library keeps for itself: it refuses to send them. */
export const reservedEvents: ReadonlySet<string> = new Set([
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'newListener',
  'removeListener',
]);

const peers: Peer[] = [];

/** Disconnects every peer after each test. */
export function leaveAfterEach(): void {
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.leave();
  });
}

export class Peer {
  readonly socket: Socket;
  readonly #messages: { readonly event: string; readonly body: unknown }[] = [];
  readonly #watchers = new Set<() => void>();

  /** Begins to connect. */
  constructor(url: string, auth: object, options: Parameters<typeof io>[1] = {}) {
    const { origin, pathname } = new URL(url);
    const path = `${pathname.replace(/\/$/, '')}/socket.io`;
    this.socket = io(origin, { path, auth, forceNew: true, reconnection: false, ...options });
    this.socket.onAny((event: string, body: unknown) => this.#note(event, body));
    this.socket.on('disconnect', (reason) => this.#note('disconnect', reason));
    this.socket.on('connect_error', (error) => this.#note('connect_error', error));
    peers.push(this);
  }

  /** Connects with a token, and says hello. */
  static async join(url: string, token: string, hello: Partial<Hello> = {}): Promise<Peer> {
    const peer = new Peer(url, { token });
    const answer = await peer.hello(hello);
    if (!answer.ok) throw new Error(`not welcome: ${answer.error.message}`);
    return peer;
  }

  async hello(changes: Partial<Hello> = {}): Promise<Ack<Welcome>> {
    const hello = { protocolVersion: PROTOCOL_VERSION, sdkVersion: 'test', ...changes };
    return (await this.send('hello', hello)) as Ack<Welcome>;
  }

  /** Emits anything, and waits for the acknowledgement. */
  send(event: string, ...args: unknown[]): Promise<Ack<unknown>> {
    return this.socket.timeout(20_000).emitWithAck(event, ...args) as Promise<Ack<unknown>>;
  }

  received<E extends keyof ServerToClient>(event: E): MessageOf<E>[] {
    return this.#of(event) as MessageOf<E>[];
  }

  /** The n-th message of a kind, counted from 1, whether it has come or will come. */
  async nth<E extends keyof ServerToClient>(event: E, n = 1): Promise<MessageOf<E>> {
    return (await this.#nth(event, n)) as MessageOf<E>;
  }

  async assignment(n = 1): Promise<Assignment> {
    return this.nth('assignment', n);
  }

  /** The next announcement with this status, of those that came or will come. */
  async announced(status: RunState['status']): Promise<RunState> {
    for (let n = 1; ; n++) {
      const state = await this.nth('run', n);
      if (state.status === status) return state;
      if (!isLive(state.status)) throw new Error(`the run is ${state.status}: ${state.reason}`);
    }
  }

  disconnected(): Promise<string> {
    return this.#nth('disconnect', 1) as Promise<string>;
  }

  refused(): Promise<Error & { data?: unknown }> {
    return this.#nth('connect_error', 1) as Promise<Error>;
  }

  leave(): void {
    this.socket.disconnect();
  }

  #note(event: string, body: unknown): void {
    this.#messages.push({ event, body });
    for (const look of [...this.#watchers]) look();
  }

  #of(event: string): unknown[] {
    return this.#messages.filter((message) => message.event === event).map(({ body }) => body);
  }

  #nth(event: string, n: number): Promise<unknown> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.#of(event);
        if (found.length < n) return;
        this.#watchers.delete(look);
        resolve(found[n - 1]);
      };
      this.#watchers.add(look);
      look();
    });
  }
}
