/**
 * Which coordinator leads, where several share a database: it runs the rounds and holds the clients'
 * connections; the others stand by, serve REST, and take over. See docs/decisions/0013.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../protocol/errors.js';
import type { Log } from '../engine/engine.js';
import type { Leader, LeaseOptions } from './leadership/lease.js';
import { LeaseSession } from './leadership/lease.js';
import { jittered } from './pace.js';
import type { Fence } from './prisma-store/fence.js';

/** What follows when this coordinator begins and ceases to lead. One at a time, in their order. */
export interface LeadershipListener {
  won(epoch: number): Promise<void>;
  lost(why: string): Promise<void>;
}

export interface Leadership {
  /** This coordinator since its start; null where there can be no other one. */
  readonly holder: string | null;
  /** Where it is reached; null while that is not known. */
  address(): string | null;
  /** The number of this leadership; null while another coordinator leads. */
  epoch(): number | null;
  /** Why this coordinator does not serve what only the leader does; null while it leads. */
  refusal(): TributaryError | null;
  /** Who leads, in words. */
  leader(): string;
  /** Resolves when this one leads, and what follows was done, or when it stands by for now. */
  start(listener: LeadershipListener): Promise<void>;
  /** The address of this coordinator is known now, or is another. */
  addressChanged(): void;
  /** Ceases to lead, and lets the next one at it. */
  close(): Promise<void>;
}

/** A coordinator on a store that no other one has. */
export const soleLeadership: Leadership = {
  holder: null,
  address: () => null,
  epoch: () => 1,
  refusal: () => null,
  leader: () => 'this coordinator leads',
  start: (listener) => listener.won(1),
  addressChanged: () => undefined,
  close: () => Promise.resolve(),
};

export interface PostgresLeadershipOptions extends Omit<LeaseOptions, 'holder'> {
  readonly log: Log;
}

const MOST_BETWEEN_LOOKS_MS = 1_000;
const RECONNECT_MS = 250;
/** How long a start waits until it is decided who leads. */
const FIRST_LOOK_MS = 2_000;
/** A client that was refused finds the next leader soon after it leads. */
const COME_BACK_MS = 500;

export class PostgresLeadership implements Leadership, Fence {
  readonly holder = randomUUID();
  #listener: LeadershipListener | null = null;
  #session: LeaseSession | null = null;
  /** `until` by this process's own clock: past it, nobody needs to say that the lease is over. */
  #held: { readonly epoch: number; readonly until: number } | null = null;
  #other: Leader | null = null;
  #turn: Promise<void> = Promise.resolve();
  #telling: Promise<void> = Promise.resolve();
  #next: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(private readonly options: PostgresLeadershipOptions) {}

  address(): string | null {
    return this.options.address();
  }

  epoch(): number | null {
    return this.#held && performance.now() < this.#held.until ? this.#held.epoch : null;
  }

  refused(epoch: number): void {
    if (this.#held?.epoch === epoch) this.#lose('another coordinator has taken over');
  }

  refusal(): TributaryError | null {
    if (this.epoch() !== null) return null;
    const retryAfterMs = jittered(COME_BACK_MS);
    const message = `this coordinator stands by: ${this.leader()}`;
    const details = this.#other?.url ? { leader: this.#other.url } : undefined;
    return new TributaryError('standby', message, details, { retryAfterMs });
  }

  leader(): string {
    if (this.#held) return 'this coordinator leads';
    return this.#other ? `${this.#other.url ?? 'another one'} leads` : 'it is not known who leads';
  }

  async start(listener: LeadershipListener): Promise<void> {
    this.#listener = listener;
    this.#takeTurn(0);
    // A take-over may have to wait for the last leader's transaction; until then this one stands by.
    await Promise.race([this.#turn, sleep(FIRST_LOOK_MS, null, { ref: false })]);
    await this.#telling;
  }

  addressChanged(): void {
    if (this.#held) this.#takeTurn(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#next);
    await this.#turn;
    clearTimeout(this.#expiry);
    const held = this.#held;
    this.#held = null;
    if (held) await this.#session?.release(held.epoch).catch(() => undefined);
    await this.#session?.end();
    await this.#telling.catch(() => undefined);
  }

  /** One look after the other, however they come about. */
  #takeTurn(afterMs: number): void {
    clearTimeout(this.#next);
    if (this.#closed) return;
    const turn = (): void => {
      this.#turn = this.#turn.then(() => this.#look()).then((ms) => this.#takeTurn(ms));
    };
    if (afterMs === 0) turn();
    else this.#next = setTimeout(turn, afterMs);
  }

  /** Renews the lease, or tries to take it. @returns milliseconds until the next look */
  async #look(): Promise<number> {
    const { leaseMs, log } = this.options;
    try {
      this.#session ??= await LeaseSession.open({ ...this.options, holder: this.holder });
      await (this.#held ? this.#renew(this.#session, this.#held.epoch) : this.#try(this.#session));
    } catch (err) {
      log.warn({ err }, 'the database does not say who leads; asking again');
      this.#dropSession();
      return Math.min(RECONNECT_MS, leaseMs / 4);
    }
    return this.#held ? leaseMs / 3 : Math.min(MOST_BETWEEN_LOOKS_MS, leaseMs / 4);
  }

  async #renew(session: LeaseSession, epoch: number): Promise<void> {
    const askedAt = performance.now();
    const renewed = await session.renew(epoch);
    // The lease may have run out while the database thought about it.
    if (this.#held?.epoch !== epoch) return;
    if (renewed) this.#hold(epoch, askedAt);
    else this.#lose('another coordinator has taken over');
  }

  async #try(session: LeaseSession): Promise<void> {
    const { leader, free } = await session.look();
    this.#other = leader;
    const askedAt = performance.now();
    const epoch = free && !this.#closed ? await session.take() : null;
    if (epoch === null) return;
    this.#hold(epoch, askedAt);
    this.#tell((listener) => listener.won(epoch));
  }

  #hold(epoch: number, askedAt: number): void {
    const until = askedAt + this.options.leaseMs;
    this.#held = { epoch, until };
    clearTimeout(this.#expiry);
    const expire = (): void => this.#lose('the lease ran out before it could be renewed');
    this.#expiry = setTimeout(expire, Math.max(0, until - performance.now()));
  }

  #lose(why: string): void {
    clearTimeout(this.#expiry);
    this.#held = null;
    this.#other = null;
    // Whatever it waits for, it would be too late.
    this.#dropSession();
    this.#tell((listener) => listener.lost(why));
    this.#takeTurn(RECONNECT_MS);
  }

  #dropSession(): void {
    void this.#session?.end();
    this.#session = null;
  }

  #tell(what: (listener: LeadershipListener) => Promise<void>): void {
    const listener = this.#listener;
    if (!listener) return;
    const before = this.#telling.catch(() => undefined);
    this.#telling = before.then(() => what(listener));
    // The first one is awaited by `start`; later ones fail for nobody.
    this.#telling.catch((err: unknown) => this.options.log.error({ err }, 'change of the leader'));
  }
}
