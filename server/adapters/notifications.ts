/** Changes made known: within a process, and to all coordinators on one database. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { z } from 'zod';
import type { Change, Notifications } from '../core/ports.js';
import type { Log } from '../engine/engine.js';
import { openSession } from './postgres-session.js';

type Listener = (change: Change) => void;

/** Where nobody else has the store. */
export function inProcessNotifications(): Notifications {
  const listeners = new Set<Listener>();
  return {
    publish: (change) => {
      for (const listener of [...listeners]) listener(change);
      return Promise.resolve();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const CHANNEL = 'tributary';
const RECONNECT_MS = 250;
const QUERY_TIMEOUT_MS = 10_000;
/** Who only listens does not notice that the other end is gone. */
const CHECK_MS = 15_000;

const notice = z.object({
  from: z.string(),
  change: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('run'), runId: z.string() }),
    z.object({ kind: z.literal('client'), runId: z.string(), clientId: z.string() }),
    z.object({ kind: z.literal('anything') }),
  ]),
});

export interface PostgresNotificationsOptions {
  readonly url: string;
  readonly log: Log;
}

/** LISTEN and NOTIFY over one session, which is opened again whenever it breaks. */
export class PostgresNotifications implements Notifications {
  readonly #here = inProcessNotifications();
  /** Own notices come back too: they were passed on already. */
  readonly #self = randomUUID();
  #session: pg.Client | null = null;
  #again: NodeJS.Timeout | undefined;
  readonly #checking: NodeJS.Timeout;
  /** Something could not be told: the others look at everything once they can be reached. */
  #unsent = false;
  #closed = false;

  private constructor(private readonly options: PostgresNotificationsOptions) {
    this.#checking = setInterval(() => {
      this.#session?.query('SELECT 1').catch(() => this.#giveUp());
    }, CHECK_MS).unref();
  }

  /** Resolves also where the database cannot be reached; it is tried again then. */
  static async open(options: PostgresNotificationsOptions): Promise<PostgresNotifications> {
    const notifications = new PostgresNotifications(options);
    await notifications.#connect();
    return notifications;
  }

  async publish(change: Change): Promise<void> {
    await this.#here.publish(change);
    await this.#send(change);
  }

  onChange(listener: Listener): () => void {
    return this.#here.onChange(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    clearInterval(this.#checking);
    await this.#session?.end().catch(() => undefined);
  }

  async #send(change: Change): Promise<void> {
    const payload = JSON.stringify({ from: this.#self, change });
    try {
      if (!this.#session) throw new Error('there is no session with the database');
      await this.#session.query('SELECT pg_notify($1, $2)', [CHANNEL, payload]);
    } catch (err) {
      this.#unsent = true;
      this.options.log.warn({ err, change }, 'the other coordinators are told later');
      this.#giveUp();
    }
  }

  /** It may be a connection that only one end has lost: another one is opened. */
  #giveUp(): void {
    void this.#session?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const { url, log } = this.options;
    try {
      const session = await openSession(url, 'tributary listener', QUERY_TIMEOUT_MS);
      session.on('notification', ({ payload }) => this.#hear(payload ?? ''));
      session.once('end', () => this.#lose(session));
      await this.#listen(session);
      if (this.#closed) await session.end();
      else this.#session = session;
    } catch (err) {
      log.warn({ err }, 'changes made elsewhere are not heard of; trying again');
      this.#reconnectLater();
      return;
    }
    if (!this.#unsent) return;
    this.#unsent = false;
    await this.#send({ kind: 'anything' });
  }

  async #listen(session: pg.Client): Promise<void> {
    try {
      await session.query(`LISTEN ${CHANNEL}`);
    } catch (error) {
      void session.end().catch(() => undefined);
      throw error;
    }
  }

  #hear(payload: string): void {
    const read = notice.safeParse(jsonOf(payload));
    if (!read.success) {
      this.options.log.warn({ payload: payload.slice(0, 200) }, 'a notice that is not understood');
    } else if (read.data.from !== this.#self) {
      void this.#here.publish(read.data.change);
    }
  }

  #lose(session: pg.Client): void {
    if (this.#session === session) {
      this.#session = null;
      this.#reconnectLater();
    }
  }

  #reconnectLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => {
      void this.#connect().then(() => {
        // What was said meanwhile was not heard.
        if (this.#session) void this.#here.publish({ kind: 'anything' });
      });
    }, RECONNECT_MS);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
