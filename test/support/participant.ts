/** Clients for tests: the real `join`, with what they did and heard written down. */
import { orAborted } from '../../client/abort.js';
import type { Environment } from '../../client/environment.js';
import { hostEnvironment } from '../../client/environment.js';
import type { ClientEvent, JoinSummary } from '../../client/events.js';
import type { JoinOptions } from '../../client/join.js';
import { join } from '../../client/join.js';
import type { Params, TrainRequest, TrainResult } from '../../client/types.js';
import type { Receipt } from '../../protocol/update.js';
import { EventLog } from '../client/support/event-log.js';
import { plainTrainer } from './plain-task.js';

/** One call of a train function that came to its end. */
export interface TrainCall {
  readonly round: number;
  readonly model: Params;
  readonly result: TrainResult;
}

export interface ParticipantOptions extends Pick<
  JoinOptions,
  'url' | 'token' | 'run' | 'train' | 'evaluate' | 'storage' | 'policy' | 'review'
> {
  readonly name: string;
  /** What the plain trainer reports, where no `train` is given. */
  readonly numExamples?: number;
  /** Holds training back until it resolves or the round closes; called with the round. */
  readonly hold?: (round: number) => Promise<void> | undefined;
  readonly onEvent?: (event: ClientEvent) => void;
}

export interface Participant {
  readonly name: string;
  readonly log: EventLog;
  /** Rounds for which training began, in order. */
  readonly began: number[];
  readonly calls: TrainCall[];
  readonly ended: Promise<JoinSummary>;
  /** Resolves with the receipt for the client's update of a round. */
  receipt(round: number): Promise<Receipt>;
  /** Resolves when training for the round has begun. */
  training(round: number): Promise<void>;
  /** Goes away, as a closed tab does; resolves with the summary. */
  leave(): Promise<JoinSummary>;
}

/** Back-off without jitter and at its shortest, so that tests do not wait for luck. */
const environment: Environment = { ...hostEnvironment, random: () => 0 };

const present = new Set<Participant>();

export function participate(options: ParticipantOptions): Participant {
  const { name, numExamples = 10, hold, onEvent, ...joining } = options;
  const log = new EventLog();
  const [began, calls]: [number[], TrainCall[]] = [[], []];
  const begun = new Signals();
  const work = options.train ?? plainTrainer(name, numExamples);
  const train = async (request: TrainRequest): Promise<TrainResult> => {
    began.push(request.round);
    begun.signal(request.round);
    await orAborted(hold?.(request.round) ?? Promise.resolve(), request.signal);
    const result = await work(request);
    calls.push({ round: request.round, model: request.model, result });
    return result;
  };
  const leaving = new AbortController();
  const receipts = new Signals<Receipt>();
  const watch = (event: ClientEvent): void => {
    log.record(event);
    if (event.type === 'receipt') receipts.signal(event.work.round, event.receipt);
    onEvent?.(event);
  };
  const { signal } = leaving;
  const own = joining.token === undefined ? { name } : {};
  const ended = join({ ...joining, ...own, train, signal, onEvent: watch }, environment);
  const participant: Participant = {
    name,
    log,
    began,
    calls,
    ended,
    receipt: (round) => receipts.of(round),
    training: (round) => begun.of(round),
    leave: () => {
      leaving.abort();
      return ended;
    },
  };
  present.add(participant);
  // A test that failed before it awaited the end leaves it to dismissAll.
  ended.catch(() => undefined).finally(() => present.delete(participant));
  return participant;
}

/** For afterEach: nobody of a test that failed lives on. */
export async function dismissAll(): Promise<void> {
  await Promise.allSettled([...present].map((participant) => participant.leave()));
}

/** One promise a round, whether it is asked for before or after the event. */
class Signals<T = void> {
  readonly #promises = new Map<number, { promise: Promise<T>; resolve: (value: T) => void }>();

  of(round: number): Promise<T> {
    return this.#at(round).promise;
  }

  signal(round: number, value: T): void {
    this.#at(round).resolve(value);
  }

  #at(round: number): { promise: Promise<T>; resolve: (value: T) => void } {
    const known = this.#promises.get(round);
    if (known) return known;
    let resolve!: (value: T) => void;
    const promise = new Promise<T>((settle) => (resolve = settle));
    const made = { promise, resolve };
    this.#promises.set(round, made);
    return made;
  }
}
